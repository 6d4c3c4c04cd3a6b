// How long an inference takes in this browser, file against file: rounds of each in turn, so that both meet the same
// disturbances.
import { median } from "./decoder.js";
import { openModel } from "./model.js";

// Median milliseconds of `rounds` x `calls` inferences on golden skeletons, by precision; of a stream's graph a frame.
export async function measure(site, golden, { rounds = 10, calls = 10 } = {}) {
  const models = [];
  for (const graph of site.graphs) models.push(await openModel(graph, site));
  const taken = models.map(() => []);
  for (const model of models) await call(model, golden, calls);
  for (let round = 0; round < rounds; round++)
    for (const [index, model] of models.entries()) taken[index].push(...(await call(model, golden, calls)));
  for (const model of models) await model.close();
  return models.map(({ graph }, index) => ({ precision: graph.precision, milliseconds: median(taken[index]) }));
}

async function call(model, golden, calls) {
  const taken = [];
  for (let number = 0; number < calls; number++) {
    await model.logits(golden.points[number % golden.points.length]);
    taken.push(model.milliseconds);
  }
  return taken;
}
