// The page's side of the landmark worker: one image at a time; what comes while it is busy is passed over.
import { Points } from "./points.js";

const MOST_FAILURES = 10;
const HANG_MS = 20_000;

export class Landmarker {
  // settings: as landmark_worker.js takes them. onPoints({points, time, milliseconds, side}) for each image looked at;
  // onFailure(text) when it cannot start, at the tenth image in a row that it fails on, or when it hangs.
  constructor(settings, { onPoints, onFailure }) {
    Object.assign(this, { onPoints, onFailure, waiting: null, since: 0, started: false, failures: 0, hangs: false });
    this.worker = newWorker("landmark_worker.js");
    this.ready = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.worker.onmessage = ({ data }) => this.take(data);
    this.worker.onerror = (event) => this.take({ failed: event.message || "the landmark worker cannot start" });
    this.worker.postMessage({ start: settings });
  }

  // A video's frame at `time` seconds; passed over while another is looked at.
  async offer(video, time) {
    if (this.waiting !== null) return this.requireProgress();
    this.waiting = time;
    this.since = performance.now();
    try {
      const image = await createImageBitmap(video);
      this.worker.postMessage({ image, time: time * 1000 }, [image]);
    } catch {
      this.waiting = null;
    }
  }

  async take({ ready, points, milliseconds, side, failed }) {
    if (ready && !this.started) {
      this.started = true;
      return this.resolve();
    }
    if (failed || !(points instanceof Float32Array) || points.length % 3)
      return this.fail(String(failed || "the landmark worker gave no points"));
    this.failures = 0;
    const found = new Points(1, 1, points.length / 3, 3, points);
    try {
      await this.onPoints({ points: found, time: this.waiting, milliseconds, side });
    } finally {
      this.waiting = null;
    }
  }

  // A worker that never comes back from an image is told once.
  requireProgress() {
    if (!this.started || this.hangs || performance.now() - this.since < HANG_MS) return;
    this.hangs = true;
    this.onFailure(`the landmarker hangs: no answer for ${HANG_MS / 1000} s`);
  }

  fail(text) {
    this.waiting = null;
    if (this.started && ++this.failures < MOST_FAILURES) return;
    this.reject(new Error(text));
    this.onFailure(text);
  }

  close() {
    this.worker.terminate();
  }
}

// A worker made here, not loaded, is under the page's own Content-Security-Policy wherever the page is hosted.
function newWorker(file) {
  const source = `import ${JSON.stringify(new URL(file, import.meta.url).href)};`;
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(address, { type: "module" });
  worker.addEventListener("message", () => URL.revokeObjectURL(address), { once: true });
  return worker;
}
