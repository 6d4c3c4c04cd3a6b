// The last seconds of points, and their resampling to a window by time: the twin of runtime/recognise/window.py. Each
// step is rounded to float32 where numpy rounds, so that an INT8 model, which amplifies a last bit, answers the same too.
import { Points, stack } from "./points.js";

const { fround } = Math;
const NEAR = 1e-6;

// (M, T', V, C) points taken at `times` seconds -> (M, frames, V, C), even in time over the seen span.
export function fitTimes(points, times, frames) {
  const [first, last] = seenSpan(points);
  const step = (times[last] - times[first]) / (frames - 1 || 1);
  const moments = Array.from({ length: frames }, (_, index) => times[first] + index * step);
  if (frames > 1) moments[frames - 1] = times[last];
  return sampleAt(
    points,
    moments.map((moment) => position(times, moment)),
  );
}

// First and last frame that show any point; all of them when none does.
export function seenSpan(points) {
  const joints = [...Array(points.joints).keys()];
  let first = -1;
  let last = -1;
  for (let frame = 0; frame < points.frames; frame++) {
    if (!points.shows(frame, joints)) continue;
    if (first < 0) first = frame;
    last = frame;
  }
  return first < 0 ? [0, points.frames - 1] : [first, last];
}

// The fractional frame at a moment, between 0 and the last.
function position(times, moment) {
  const last = times.length - 1;
  if (moment <= times[0]) return 0;
  if (moment >= times[last]) return last;
  const after = times.findIndex((time) => time > moment);
  return (1 / (times[after] - times[after - 1])) * (moment - times[after - 1]) + after - 1;
}

// Points at fractional frames. Where one of the two neighbours is missing the nearer frame's point is taken.
function sampleAt(points, positions) {
  const { bodies, joints, axes, frames } = points;
  const sampled = new Points(bodies, positions.length, joints, axes);
  positions.forEach((place, index) => {
    const before = Math.floor(place);
    const after = Math.min(before + 1, frames - 1);
    const weight = fround(place - before);
    for (let body = 0; body < bodies; body++)
      for (let joint = 0; joint < joints; joint++) {
        const missing = points.isMissing(body, before, joint) || points.isMissing(body, after, joint);
        const share = missing ? Number(weight >= 0.5) : weight;
        blend(sampled, sampled.at(body, index, joint), points, {
          one: points.at(body, before, joint),
          other: points.at(body, after, joint),
          share,
        });
      }
  });
  return sampled;
}

function blend(target, start, points, { one, other, share }) {
  for (let axis = 0; axis < points.axes; axis++) {
    const [from, to] = [points.data[one + axis], points.data[other + axis]];
    const mixed = () => fround(from * fround(1 - share)) + fround(to * share);
    target.data[start + axis] = share === 0 ? from : share === 1 ? to : mixed();
  }
}

// Points of the last `seconds`; forgets all once nothing was seen for `gap` seconds.
export class SlidingWindow {
  constructor(seconds, gap) {
    Object.assign(this, { seconds, gap });
    this.clear();
    this.lastSeen = -Infinity;
  }

  // Add one frame's points; `seen` says whether they show anything of use; times must rise.
  push(points, time, seen) {
    if (seen) this.lastSeen = time;
    else if (time - this.lastSeen > this.gap) return this.clear();
    this.rows.push({ points, time, seen });
    while (time - this.rows[0].time > this.seconds) this.rows.shift();
  }

  clear() {
    this.rows = [];
  }

  // Number of frames that show any point, and the time between the first and the last of them.
  get seen() {
    const moments = this.rows.filter((row) => row.seen).map((row) => row.time);
    return { frames: moments.length, seconds: moments.length ? moments.at(-1) - moments[0] : 0 };
  }

  // Points (M, T', V, C) and their times.
  contents() {
    return { points: stack(this.rows.map((row) => row.points)), times: this.rows.map((row) => row.time) };
  }
}

// Frames of any rate, by their time stamps, to frames of a model's own rate: the twin of runtime/recognise/ticks.py.
export class Ticks {
  constructor(rate) {
    this.rate = rate;
    this.clear();
  }

  // The next frame is another first one.
  clear() {
    Object.assign(this, { before: null, beforeTime: 0, start: 0, count: 0 });
  }

  // The ticks up to a frame at `time` seconds, each {points, time}; times must not fall.
  push(points, time) {
    if (!this.before) Object.assign(this, { before: points, beforeTime: time, start: time, count: 0 });
    const pair = stack([this.before, points]);
    const span = time - this.beforeTime;
    const ticks = [];
    for (let moment = this.moment(); moment <= time + NEAR; this.count++, moment = this.moment()) {
      const share = span <= 0 ? 1 : Math.min(Math.max((moment - this.beforeTime) / span, 0), 1);
      ticks.push({ points: sampleAt(pair, [share]), time: moment });
    }
    Object.assign(this, { before: points, beforeTime: time });
    return ticks;
  }

  moment() {
    return this.start + this.count / this.rate;
  }
}
