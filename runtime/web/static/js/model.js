// A bundle's ONNX graph in ONNX Runtime Web, on the processor (WASM), one thread.
import * as ort from "../lib/ort/dist/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("../lib/ort/dist/", import.meta.url).href;

export class Model {
  // input, stream: of site.json. milliseconds: of the newest call.
  constructor(session, graph, { input, stream }) {
    Object.assign(this, { session, input, stream, graph, milliseconds: NaN });
    this.last = Promise.resolve();
  }

  // graph: one of the site's. Throws when it cannot be fetched or run.
  static async open(graph, site) {
    const answer = await fetch(graph.file);
    if (!answer.ok) throw new Error(`${graph.file}: ${answer.status}`);
    const session = await ort.InferenceSession.create(await content(answer, graph), { executionProviders: ["wasm"] });
    return new this(session, graph, site);
  }

  // Logits (K) of one window (M, T, V, C). Calls wait for each other: a session does one thing at a time.
  logits(points) {
    const run = this.last.then(() => this.run(points));
    this.last = run.catch(() => {});
    return run;
  }

  // What the last layer reads of one window (F); only where the graph's `features` says how.
  features(points) {
    const run = this.last.then(() => this.run(points, this.graph.features.name));
    this.last = run.catch(() => {});
    return run;
  }

  async run(points, output = "logits") {
    const { bodies, frames, joints, axes, data } = points;
    const shape = this.input.bodies === 1 ? [1, frames, joints, axes] : [1, bodies, frames, joints, axes];
    const began = performance.now();
    const found = await this.session.run({ landmarks: new ort.Tensor("float32", data, shape) }, [output]);
    this.milliseconds = performance.now() - began;
    return found[output].data;
  }

  // Logits of a golden clip as its rows have them.
  async rows(points) {
    return [await this.logits(points)];
  }

  // Largest |difference| of the logits from those the bundle was shipped with, over its golden skeletons.
  async difference(golden) {
    const expected = golden.logits[this.graph.precision];
    if (!expected) return NaN;
    let [most, row] = [0, 0];
    for (const points of golden.points)
      for (const logits of await this.rows(points)) {
        for (const [index, value] of logits.entries()) most = Math.max(most, Math.abs(value - expected[row][index]));
        row++;
      }
    return most;
  }

  async close() {
    await this.last;
    await this.session.release();
  }
}

// A graph that answers at every frame: states go out with one frame's answer and in with the next frame.
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

// A graph's file, and behind it what makes it give out its features.
async function content(answer, { features }) {
  const file = new Uint8Array(await answer.arrayBuffer());
  if (!features) return file;
  const whole = new Uint8Array(file.length + features.behind.length);
  whole.set(file);
  whole.set(features.behind, file.length);
  return whole;
}

// The model of a graph of site.json, as the bundle is made.
export function openModel(graph, site) {
  return (site.stream ? StepModel : Model).open(graph, site);
}

// Warm the model up and check it: {milliseconds, difference}.
export async function checkModel(model, golden) {
  const difference = await model.difference(golden);
  return { milliseconds: model.milliseconds, difference, tolerance: model.graph.tolerance };
}

