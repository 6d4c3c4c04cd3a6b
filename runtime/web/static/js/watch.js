// The camera as a source: its frames to the landmarker, the points found to whoever recognises.
import { Camera } from "./camera.js";
import { Landmarker } from "./landmarker.js";

const UNSEEN_S = 1;
const RATE_OVER = 30;

export class Watch {
  // camera: of site.json. adapter: says what is seen of use. onPoints(points, seconds, hand seen) is waited for; onEnd(text) when
  // the camera or the landmarker is gone.
  constructor(camera, { view, drawing, adapter, settings, onPoints, onEnd }) {
    Object.assign(this, { about: camera, view, drawing, adapter, settings, onPoints, points: null, began: null });
    Object.assign(this, { seen: 0, moments: [], stopped: false });
    this.landmarker = new Landmarker(this.task(), {
      onPoints: (found) => this.take(found),
      onFailure: (text) => onEnd(`MediaPipe fails: ${text}`),
    });
    this.camera = new Camera(document.getElementById("video"), {
      onFrame: (video, time) => this.show(video, time),
      onEnd: () => onEnd("The camera was unplugged or taken away."),
    });
  }

  // Resolves once frames come; throws an Error with a sentence for the reader.
  async start() {
    await this.landmarker.ready;
    if (!this.stopped) await this.camera.start();
  }

  stop() {
    this.stopped = true;
    this.camera.stop();
    this.landmarker.close();
    this.drawing.clear();
  }

  task() {
    const { detector, file, face } = this.about;
    const { hand, delegate } = this.settings();
    return { detector, file: new URL(file, document.baseURI).href, face, hand, delegate };
  }

  show(video, time) {
    this.began ??= time;
    this.drawing.drawCamera(video, this.points, this.about.source.layout.edges, this.settings().mirrored);
    this.landmarker.offer(video, time - this.began);
  }

  async take({ points, time, milliseconds, side }) {
    if (this.stopped) return;
    this.points = points;
    if (this.adapter.sees(points)) this.seen = time;
    const hidden = time - this.seen > UNSEEN_S;
    this.view.hint(hidden ? `Nothing to recognise: show ${this.about.wanted} to the camera.` : "");
    this.view.figure("landmarks-ms", milliseconds);
    this.moments = [...this.moments, time].slice(-RATE_OVER);
    if (this.moments.length > 1) this.view.figure("fps", (this.moments.length - 1) / (time - this.moments[0]));
    await this.onPoints(points, time, side);
  }
}
