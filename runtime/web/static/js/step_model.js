// A bundle's graph that answers at every frame: states go out with one frame's answer and in with the next frame.
import * as ort from "../lib/ort/dist/ort.wasm.min.mjs";
import { Model } from "./model.js";

export class StepModel extends Model {
  // The state before a first frame: zeros.
  start() {
    const entries = this.stream.state.map(({ name, shape }) => {
      const size = shape.reduce((product, length) => product * length, 1);
      return [`state_${name}`, new ort.Tensor("float32", new Float32Array(size), [1, ...shape])];
    });
    return Object.fromEntries(entries);
  }

  // The next frame (1, 1, V, C) and the state before it: {logits, elapsed, state}. Calls wait for each other.
  step(points, state) {
    const run = this.last.then(() => this.runStep(points, state));
    this.last = run.catch(() => {});
    return run;
  }

  async runStep({ joints, axes, data }, state) {
    const began = performance.now();
    const answer = await this.session.run({ landmarks_t: new ort.Tensor("float32", data, [1, joints, axes]), ...state });
    this.milliseconds = performance.now() - began;
    const next = Object.keys(state).map((name) => [name, answer[`next_${name}`]]);
    return { logits: answer.logits.data, elapsed: answer.elapsed?.data[0] ?? 0, state: Object.fromEntries(next) };
  }

  // Logits of every frame of a clip from its beginning; `milliseconds` is then the median a frame.
  async sequence(points) {
    const logits = [];
    const taken = [];
    for (let number = 0, state = this.start(); number < points.frames; number++) {
      const answer = await this.step(points.frame(number), state);
      state = answer.state;
      logits.push(answer.logits);
      taken.push(this.milliseconds);
    }
    this.milliseconds = taken.sort((one, other) => one - other)[Math.floor(taken.length / 2)];
    return logits;
  }

  // Those of the last frame.
  async logits(points) {
    return (await this.sequence(points)).at(-1);
  }

  // Logits of a clip as its golden rows have them, one a frame.
  rows(points) {
    return this.sequence(points);
  }
}

// The model of a graph of site.json, as the bundle is made.
export function openModel(graph, site) {
  return (site.stream ? StepModel : Model).open(graph, site);
}
