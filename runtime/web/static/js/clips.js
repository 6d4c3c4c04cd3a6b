// The clips and golden tensors of clips.bin, and playing a clip at its own rate.
import { Points } from "./points.js";

// site.clips with their points, and the golden points and logits.
export async function loadClips(site) {
  const answer = await fetch("clips.bin");
  if (!answer.ok) throw new Error(`clips.bin: ${answer.status}`);
  const floats = new Float32Array(await answer.arrayBuffer());
  const clips = site.clips.map((clip) => ({ ...clip, points: readClip(floats, clip.points) }));
  const logits = Object.entries(site.golden.logits).map(([name, place]) => [name, readRows(floats, place)]);
  const points = readRows(floats, site.golden.points).map((row) => windowOf(row, site.golden.points.shape));
  return { clips, golden: { points, logits: Object.fromEntries(logits) } };
}

function readClip(floats, { offset, shape }) {
  const [bodies, frames, joints, axes] = shape;
  return new Points(bodies, frames, joints, axes, floats.slice(offset, offset + bodies * frames * joints * axes));
}

// One Float32Array for each index of the first axis.
function readRows(floats, { offset, shape }) {
  const size = shape.slice(1).reduce((product, length) => product * length, 1);
  return Array.from({ length: shape[0] }, (_, row) => floats.slice(offset + row * size, offset + (row + 1) * size));
}

// A golden row is (T, V, C), or (M, T, V, C) for more than one body.
function windowOf(data, shape) {
  const [bodies, frames, joints, axes] = shape.length === 5 ? shape.slice(1) : [1, ...shape.slice(1)];
  return new Points(bodies, frames, joints, axes, data);
}

export class ClipPlayer {
  // onFrame(points, seconds) is waited for; onEnd() after the last frame. Every frame is given, in order.
  constructor(clip, { onFrame, onEnd }) {
    Object.assign(this, { clip, onFrame, onEnd, running: false });
  }

  async play() {
    this.running = true;
    const { points, fps } = this.clip;
    const began = performance.now();
    for (let number = 0; number < points.frames; number++) {
      await until(began + (number / fps) * 1000);
      if (!this.running) return;
      await this.onFrame(points.frame(number), number / fps);
    }
    if (this.running) await this.onEnd();
    this.running = false;
  }

  stop() {
    this.running = false;
  }
}

function until(moment) {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, moment - performance.now())));
}
