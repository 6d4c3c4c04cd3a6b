// What is told of a gesture while it lasts, and where: the twin of the phases of Stream in runtime/recognise/stream.py.
import { median } from "./decoder.js";

export class Phases {
  // hold: seconds between two events of a gesture that lasts.
  constructor(hold) {
    this.hold = hold;
    this.clear();
  }

  clear() {
    this.lasting = null;
  }

  // The phases that are to be told at `time`. events: decided now. shown: the label that was told and still lasts, or
  // "". last: nothing follows, so what lasts ends.
  of(events, time, shown, { last = false } = {}) {
    const told = [];
    for (const event of events) {
      told.push(...this.ending(time), { ...event, phase: "begin" });
      this.lasting = event;
    }
    if (this.lasting && (last || shown !== this.lasting.label)) return [...told, ...this.ending(time)];
    if (this.lasting && time - this.lasting.end >= this.hold) {
      this.lasting = { ...this.lasting, end: time };
      told.push({ ...this.lasting, phase: "hold" });
    }
    return told;
  }

  // The end of the gesture that lasts, if one does.
  ending(time) {
    const { lasting } = this;
    this.clear();
    return lasting ? [{ ...lasting, phase: "end", end: time }] : [];
  }
}

// The middle of the points that a frame shows of its first body: {x, y}, null where it shows none.
export function placeOf(points) {
  const seen = [];
  for (let joint = 0; joint < points.joints; joint++) {
    const [x, y] = points.data.subarray(points.at(0, 0, joint), points.at(0, 0, joint) + 2);
    if (!Number.isNaN(x) && !Number.isNaN(y)) seen.push([x, y]);
  }
  const [x, y] = [0, 1].map((axis) => (seen.length ? median(seen.map((point) => point[axis])) : null));
  return { x, y };
}
