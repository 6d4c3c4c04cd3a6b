// A bundle's ONNX file in Node with onnxruntime-node or onnxruntime-web alone; the contract is docs/onnx_contract.md.
//
//   npm install onnxruntime-node
//   node examples/onnx_only.js zoo/last_lite_nano_shrec14 clip.csv [int8]
//
// clip.csv: one line a frame, V x C numbers parted by commas, joint after joint; nan where a point is missing.
// In a browser the same code runs with onnxruntime-web: read the files with fetch instead of fs.

"use strict";
const fs = require("node:fs");
const path = require("node:path");

let ort;
try {
  ort = require("onnxruntime-node");
} catch {
  ort = require("onnxruntime-web");
}

// Frames, each V*C numbers -> `frames` of them, linear in time over the span that shows any point. Where one of the two
// neighbours is missing the nearer one's point is taken, which may be missing too.
function fitWindow(clip, frames, axes) {
  const missing = (frame, joint) => frame.slice(joint * axes, joint * axes + axes).some(Number.isNaN);
  const joints = clip[0].length / axes;
  const shows = clip.map((frame) => [...Array(joints).keys()].some((joint) => !missing(frame, joint)));
  const first = Math.max(shows.indexOf(true), 0);
  const last = shows.includes(true) ? shows.lastIndexOf(true) : clip.length - 1;
  const window = new Float32Array(frames * joints * axes);
  for (let row = 0; row < frames; row++) {
    const position = first + (row / Math.max(frames - 1, 1)) * (last - first);
    const before = Math.floor(position);
    const after = Math.min(before + 1, clip.length - 1);
    const weight = position - before;
    for (let joint = 0; joint < joints; joint++) {
      const torn = missing(clip[before], joint) || missing(clip[after], joint);
      for (let at = joint * axes; at < joint * axes + axes; at++) {
        const blend = clip[before][at] * (1 - weight) + clip[after][at] * weight;
        window[row * joints * axes + at] = torn ? clip[weight < 0.5 ? before : after][at] : blend;
      }
    }
  }
  return window;
}

async function main(bundle, file, precision = "int8") {
  const manifest = JSON.parse(fs.readFileSync(path.join(bundle, "manifest.json"), "utf8"));
  const graph = fs.readFileSync(path.join(bundle, `model.${precision}.onnx`));
  const session = await ort.InferenceSession.create(new Uint8Array(graph));
  const { frames, channels, layout } = manifest.input;
  const lines = fs.readFileSync(file, "utf8").trim().split("\n");
  const clip = lines.map((line) => line.split(",").map(Number)); // "nan" becomes NaN
  const shape = [1, frames, layout.names.length, channels];
  const landmarks = new ort.Tensor("float32", fitWindow(clip, frames, channels), shape);
  const { logits } = await session.run({ landmarks });

  const { temperature = 1, energy: least = -Infinity, accept = 0 } = manifest.thresholds;
  const scaled = Array.from(logits.data, (logit) => logit / temperature);
  const most = Math.max(...scaled);
  const sum = scaled.reduce((total, value) => total + Math.exp(value - most), 0);
  const probabilities = scaled.map((value) => Math.exp(value - most) / sum);
  const order = [...probabilities.keys()].sort((one, other) => probabilities[other] - probabilities[one]);
  for (const index of order.slice(0, 3)) {
    console.log(`${probabilities[index].toFixed(4)} ${manifest.labels[index]}`);
  }
  if (temperature * (most + Math.log(sum)) < least || probabilities[order[0]] < accept) {
    console.log("not sure enough to report");
  }
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
