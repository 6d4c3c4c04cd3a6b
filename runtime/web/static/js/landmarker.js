// The page's side of the landmark worker: one image at a time; what comes while it is busy is passed over.
import { Points } from "./points.js";

const MOST_FAILURES = 10;

export class Landmarker {
  // settings: as landmark_worker.js takes them. onPoints({points, time, milliseconds, side}) for each image looked at;
  // onFailure(text) when it cannot start, or at the tenth image in a row that it fails on.
  constructor(settings, { onPoints, onFailure }) {
    Object.assign(this, { onPoints, onFailure, waiting: null, started: false, failures: 0 });
    this.worker = newWorker("landmark_worker.js");
    this.ready = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.worker.onmessage = ({ data }) => this.take(data);
    this.worker.onerror = (event) => this.take({ failed: event.message || "the landmark worker cannot start" });
    this.worker.postMessage({ start: settings });
  }

  // A video's frame at `time` seconds; passed over while another is looked at.
  async offer(video, time) {
    if (this.waiting !== null) return;
    this.waiting = time;
    try {
      const image = await createImageBitmap(video);
      this.worker.postMessage({ image, time: time * 1000 }, [image]);
    } catch {
      this.waiting = null;
    }
  }

  async take({ ready, points, milliseconds, side, failed }) {
    if (ready) {
      this.started = true;
      return this.resolve();
    }
    if (failed) return this.fail(failed);
    this.failures = 0;
    const found = new Points(1, 1, points.length / 3, 3, points);
    await this.onPoints({ points: found, time: this.waiting, milliseconds, side });
    this.waiting = null;
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
