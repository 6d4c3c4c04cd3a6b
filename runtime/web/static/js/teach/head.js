// A last layer of one's own on a model's features: softmax regression, trained in a second, the same every time.
import { softmax } from "../decoder.js";

const STEPS = 300;
const RATE = 0.05;
const DECAY = 0.003;
const [BETA1, BETA2, SMALL] = [0.9, 0.999, 1e-8];

// Features (F) to logits (K): standardised by the training rows, then one linear layer. weights: K rows of F and a bias.
export class Head {
  constructor({ mean, scale, weights }) {
    Object.assign(this, { mean, scale, weights });
  }

  logits(features) {
    return dot(this.weights, this.standard(features));
  }

  // Standardised features, and a 1 for the bias.
  standard(features) {
    const row = new Float64Array(features.length + 1).fill(1);
    for (let index = 0; index < features.length; index++)
      row[index] = (features[index] - this.mean[index]) / this.scale[index];
    return row;
  }
}

// A head of `count` classes from rows of features and the class of each; every class counts alike, by Adam on all rows.
export function trainHead(rows, classes, count) {
  const weights = Array.from({ length: count }, () => new Float64Array(rows[0].length + 1));
  const head = new Head({ ...spread(rows), weights });
  const given = rows.map((row) => head.standard(row));
  const sizes = Array.from({ length: count }, (_, name) => classes.filter((one) => one === name).length);
  const present = sizes.filter((size) => size > 0).length;
  const moments = weights.map((row) => Array.from(row, () => [0, 0]));
  for (let step = 1; step <= STEPS; step++) {
    const slope = weights.map((row) => row.map((weight, index) => (index === row.length - 1 ? 0 : DECAY * weight)));
    given.forEach((row, place) => {
      const share = softmax(dot(weights, row));
      for (let name = 0; name < count; name++) {
        const wrong = (share[name] - (name === classes[place] ? 1 : 0)) / (sizes[classes[place]] * present);
        for (let index = 0; index < row.length; index++) slope[name][index] += wrong * row[index];
      }
    });
    weights.forEach((row, name) => {
      for (let index = 0; index < row.length; index++) row[index] -= adam(moments[name][index], slope[name][index], step);
    });
  }
  return head;
}

// How many takes are recognised by a head that was taught the others; `takes` names the take of each row, of which the
// first decides. Takes of a class are dealt to the folds in turn.
export function heldOut(rows, classes, takes, count, folds = 5) {
  const first = new Map(takes.map((take, place) => [take, place]).reverse());
  const fold = new Map();
  const dealt = Array(count).fill(0);
  for (const [take, place] of [...first].reverse()) fold.set(take, dealt[classes[place]]++ % folds);
  let right = 0;
  for (let one = 0; one < Math.min(folds, Math.max(...dealt)); one++) {
    const taught = rows.flatMap((_, place) => (fold.get(takes[place]) === one ? [] : [place]));
    const head = trainHead(pick(rows, taught), pick(classes, taught), count);
    for (const [take, place] of first)
      if (fold.get(take) === one && highest(head.logits(rows[place])) === classes[place]) right++;
  }
  return { right, takes: first.size };
}

function spread(rows) {
  const mean = Array.from(rows[0], (_, index) => rows.reduce((sum, row) => sum + row[index], 0) / rows.length);
  const scale = mean.map((middle, index) => {
    const square = rows.reduce((sum, row) => sum + (row[index] - middle) ** 2, 0) / rows.length;
    return Math.sqrt(square) || 1;
  });
  return { mean, scale };
}

// The step that Adam takes (Kingma & Ba 2015); moments [m, v] are brought up to date.
function adam(moments, slope, step) {
  moments[0] = BETA1 * moments[0] + (1 - BETA1) * slope;
  moments[1] = BETA2 * moments[1] + (1 - BETA2) * slope * slope;
  return (RATE * (moments[0] / (1 - BETA1 ** step))) / (Math.sqrt(moments[1] / (1 - BETA2 ** step)) + SMALL);
}

const dot = (weights, row) =>
  weights.map((own) => {
    let sum = 0;
    for (let index = 0; index < row.length; index++) sum += own[index] * row[index];
    return sum;
  });
const highest = (values) => values.indexOf(Math.max(...values));
const pick = (values, places) => places.map((place) => values[place]);
