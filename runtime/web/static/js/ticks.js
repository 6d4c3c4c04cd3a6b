// Frames of any rate, by their time stamps, to frames of a model's own rate: the twin of runtime/recognise/ticks.py.
import { stack } from "./points.js";
import { sampleAt } from "./window.js";

const NEAR = 1e-6;

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
