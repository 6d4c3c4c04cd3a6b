// A bundle's ONNX graph in ONNX Runtime Web, on the processor (WASM), one thread.
import * as ort from "../lib/ort/dist/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("../lib/ort/dist/", import.meta.url).href;

export class Model {
  constructor(session, input, graph) {
    Object.assign(this, { session, input, graph, milliseconds: NaN });
    this.last = Promise.resolve();
  }

  // graph: one of site.json's. Throws when it cannot be fetched or run.
  static async open(graph, input) {
    const answer = await fetch(graph.file);
    if (!answer.ok) throw new Error(`${graph.file}: ${answer.status}`);
    const session = await ort.InferenceSession.create(await answer.arrayBuffer(), { executionProviders: ["wasm"] });
    return new Model(session, input, graph);
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

  // Largest |difference| of the logits from those the bundle was shipped with, over its golden skeletons.
  async difference(golden) {
    const expected = golden.logits[this.graph.precision];
    if (!expected) return NaN;
    let most = 0;
    for (const [row, points] of golden.points.entries()) {
      const logits = await this.logits(points);
      logits.forEach((value, index) => {
        most = Math.max(most, Math.abs(value - expected[row][index]));
      });
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

