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
    const session = await ort.InferenceSession.create(await answer.arrayBuffer(), { executionProviders: ["wasm"] });
    return new this(session, graph, site);
  }

  // Logits (K) of one window (M, T, V, C). Calls wait for each other: a session does one thing at a time.
  logits(points) {
    const run = this.last.then(() => this.run(points));
    this.last = run.catch(() => {});
    return run;
  }

  async run(points) {
    const { bodies, frames, joints, axes, data } = points;
    const shape = this.input.bodies === 1 ? [1, frames, joints, axes] : [1, bodies, frames, joints, axes];
    const began = performance.now();
    const { logits } = await this.session.run({ landmarks: new ort.Tensor("float32", data, shape) });
    this.milliseconds = performance.now() - began;
    return logits.data;
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

// Warm the model up and check it: {milliseconds, difference}.
export async function checkModel(model, golden) {
  const difference = await model.difference(golden);
  return { milliseconds: model.milliseconds, difference, tolerance: model.graph.tolerance };
}

