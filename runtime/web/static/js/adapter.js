// From a source's points to the points a bundle was trained on: the twin of runtime/recognise/adapt.py.
import { Points } from "./points.js";

const HALF_TURN = [-1, -1, 1];
const SIDES = ["left", "right"];

export class Adapter {
  // source, input, units: of site.json. hand: "left" or "right" to take that hand of a body with two, else the one
  // that more is seen of; of a source of one hand it says which one that is. knows: the hands that the bundle was
  // taught, "left", "right" or "both".
  constructor(source, input, units, hand = "first", knows = "both") {
    Object.assign(this, { source, input, units, hand, knows });
    this.sides = hand === "first" ? ["right", "left"] : [hand];
    this.recipes = source.recipes && this.sides.map((side) => source.recipes[side]);
    this.choice = source.recipes && JSON.stringify(source.recipes.left) !== JSON.stringify(source.recipes.right);
    this.used = usedJoints(this.recipes, source.layout.names.length);
  }

  // Whether the source shows two hands and the one that is seen more counts.
  get chooses() {
    return this.recipes?.length > 1 && JSON.stringify(this.recipes[0]) !== JSON.stringify(this.recipes[1]);
  }

  // Whether a frame of the source shows anything the bundle uses.
  sees(points, frame = 0) {
    return points.shows(frame, this.used);
  }

  // (M, T, V, C) of the source -> (M', T, V', C') of the bundle, NaN where missing.
  convert(points) {
    return this.fit(points).points;
  }

  // As convert, and whether the points are mirrored: the hand is not the one that the bundle was taught. seen: "left" or
  // "right" where the source says which hand it shows.
  fit(points, seen = "") {
    if (points.axes < this.input.channels) throw new Error("the source has too few axes");
    const { converted, taken } = this.joints(points);
    const turned = this.source.turn ? this.turn(converted) : converted;
    const side = taken || (SIDES.includes(this.hand) ? this.hand : seen);
    const mirrored = SIDES.includes(this.knows) && SIDES.includes(side) && side !== this.knows;
    return { points: this.fitBodies(mirrored ? mirror(turned, this.input.layout) : turned), mirrored };
  }

  // The bundle's joints, and which hand of two they are; "" where there is no choice.
  joints(points) {
    if (!this.recipes) return { converted: points, taken: "" };
    const all = this.recipes.map((recipe) => convertJoints(points, recipe));
    const best = all.reduce((best, other, place) => (countSeen(other) > countSeen(all[best]) ? place : best), 0);
    return { converted: all[best], taken: this.choice ? this.sides[best] : "" };
  }

  // The first bodies and axes that the bundle takes; missing ones where the source has fewer bodies.
  fitBodies(points) {
    const { bodies, channels } = this.input;
    if (points.bodies === bodies && points.axes === channels) return points;
    const fitted = new Points(bodies, points.frames, points.joints, channels);
    for (let body = 0; body < Math.min(bodies, points.bodies); body++)
      for (let frame = 0; frame < points.frames; frame++)
        for (let joint = 0; joint < points.joints; joint++) {
          const from = points.at(body, frame, joint);
          fitted.data.set(points.data.subarray(from, from + channels), fitted.at(body, frame, joint));
        }
    return fitted;
  }

  // Half a turn about z between the axes of a picture and those of a sensor, and an adult's size where it matters.
  turn(points) {
    const turned = new Points(points.bodies, points.frames, points.joints, points.axes, points.data.slice());
    for (let index = 0; index < turned.data.length; index++) turned.data[index] *= HALF_TURN[index % points.axes];
    if (this.source.limb_metres === null) return turned;
    const factor = this.source.limb_metres / limbLength(turned, this.input.layout);
    for (let index = 0; index < turned.data.length; index++) turned.data[index] *= factor;
    return turned;
  }
}

function usedJoints(recipes, joints) {
  if (!recipes) return [...Array(joints).keys()];
  return [...new Set(recipes.flat(2))].sort((one, other) => one - other);
}

// Each joint as the mean of some of the source's; missing where one of them is, or where there are none.
function convertJoints(points, recipe) {
  const converted = new Points(points.bodies, points.frames, recipe.length, points.axes);
  for (let body = 0; body < points.bodies; body++)
    for (let frame = 0; frame < points.frames; frame++)
      recipe.forEach((joints, target) => {
        if (joints.length === 0) return;
        const start = converted.at(body, frame, target);
        for (let axis = 0; axis < points.axes; axis++)
          converted.data[start + axis] = mean(joints, (joint) => points.data[points.at(body, frame, joint) + axis]);
      });
  return converted;
}

// Points seen in a mirror at x = 0: the other hand, or a body whose left and right are exchanged.
function mirror(points, layout) {
  const mirrored = new Points(points.bodies, points.frames, points.joints, points.axes);
  for (let body = 0; body < points.bodies; body++)
    for (let frame = 0; frame < points.frames; frame++)
      layout.mirror.forEach((from, to) => {
        const start = points.at(body, frame, from);
        const target = mirrored.at(body, frame, to);
        mirrored.data.set(points.data.subarray(start, start + points.axes), target);
        mirrored.data[target] *= -1;
      });
  return mirrored;
}

// In float32, as numpy adds.
function mean(items, value) {
  let sum = 0;
  for (const item of items) sum = Math.fround(sum + value(item));
  return sum / items.length;
}

function countSeen(points) {
  let seen = 0;
  for (const value of points.data) if (!Number.isNaN(value)) seen++;
  return seen;
}

// Mean length of the layout's scale limb over the frames that show it on body 0; 1 where none does.
export function limbLength(points, layout) {
  if (!layout.scale) return 1;
  let sum = 0;
  let seen = 0;
  for (let frame = 0; frame < points.frames; frame++) {
    let square = 0;
    for (let axis = 0; axis < points.axes; axis++) {
      const [one, other] = layout.scale.map((joints) =>
        mean(joints, (joint) => points.data[points.at(0, frame, joint) + axis]),
      );
      square += (one - other) ** 2;
    }
    if (Number.isNaN(square)) continue;
    sum += Math.sqrt(square);
    seen++;
  }
  return sum > 0 ? sum / seen : 1;
}

// Which hand a stream shows, by what is said of its frames: the twin of HandVote in runtime/recognise/adapt.py.
const KEPT = 0.95;

export class HandVote {
  constructor() {
    this.clear();
  }

  // side: "left", "right", or "" for a frame that nothing is said of.
  add(side) {
    if (side === "right") this.right = KEPT * this.right + 1;
    if (side === "left") this.right = KEPT * this.right - 1;
  }

  clear() {
    this.right = 0;
  }

  // "left", "right", or "" while nothing was said.
  get side() {
    return this.right === 0 ? "" : this.right > 0 ? "right" : "left";
  }
}
