// Takes of gestures as the camera's points: kept in the page, saved as the file that `last-edge teach --takes` reads.
import { Points, stack } from "../points.js";
import { seenSpan } from "../window.js";

const LEAST_FRAMES = 5;
const DIGITS = 1e5;

export class Takes {
  // layout, units: of the camera's points.
  constructor(layout, units) {
    Object.assign(this, { layout, units, all: [] });
  }

  // A take of frames (1 frame each) at `times` seconds, cut to those that show anything; why it is none, or "".
  add(label, frames, times, side = "") {
    if (frames.length < LEAST_FRAMES) return "no frames came";
    const whole = stack(frames);
    const joints = [...Array(whole.joints).keys()];
    const seen = frames.filter((_, number) => whole.shows(number, joints)).length;
    if (seen < LEAST_FRAMES) return "nothing was in view";
    const [first, last] = seenSpan(whole);
    const points = stack(frames.slice(first, last + 1));
    this.all.push({ label, points, times: times.slice(first, last + 1), side });
    return "";
  }

  undo() {
    return this.all.pop();
  }

  get labels() {
    return [...new Set(this.all.map(({ label }) => label))];
  }

  count(label) {
    return this.all.filter((take) => take.label === label).length;
  }

  // The text of a file.
  toText() {
    const takes = this.all.map(({ label, points, times }) => {
      const fps = (times.length - 1) / (times.at(-1) - times[0]);
      return { label, fps: Math.round(fps * 1000) / 1000, frames: nested(points) };
    });
    return JSON.stringify({ layout: this.layout.name, units: this.units, takes });
  }

  // Takes of a file beside those that are there; throws an Error with a sentence for the reader.
  addText(text) {
    const { layout, units, takes } = parsed(text);
    if (layout !== this.layout.name || units !== this.units)
      throw new Error(`These takes are ${layout} in ${units}; this page's camera gives ${this.layout.name} in ${this.units}.`);
    for (const { label, fps, frames } of takes) {
      const each = frames.map((frame) => oneFrame(frame));
      this.add(String(label), each, each.map((_, number) => number / fps));
    }
  }
}

function parsed(text) {
  try {
    const content = JSON.parse(text);
    if (Array.isArray(content.takes)) return content;
  } catch {
    // The sentence below says it.
  }
  throw new Error("This is no file of takes: one has layout, units and takes.");
}

// (T, V, C), null where a coordinate is missing.
function nested({ frames, joints, axes, data }) {
  const value = (place) => (Number.isNaN(data[place]) ? null : Math.round(data[place] * DIGITS) / DIGITS);
  return Array.from({ length: frames }, (_, frame) =>
    Array.from({ length: joints }, (_, joint) =>
      Array.from({ length: axes }, (_, axis) => value((frame * joints + joint) * axes + axis)),
    ),
  );
}

function oneFrame(frame) {
  const axes = frame[0].length;
  return new Points(1, 1, frame.length, axes, Float32Array.from(frame.flat(), (value) => value ?? NaN));
}
