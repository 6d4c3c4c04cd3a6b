// The page: one source at a time (camera or clip), the model, and what the reader sets.
import { Adapter } from "./adapter.js";
import { measure } from "./bench.js";
import { Camera } from "./camera.js";
import { ClipPlayer, loadClips } from "./clips.js";
import { Drawing } from "./drawing.js";
import { Landmarker } from "./landmarker.js";
import { Model, checkModel } from "./model.js";
import { Recogniser } from "./recogniser.js";
import { View, byId } from "./view.js";

const UNSEEN_S = 1;

class App {
  constructor(site, { clips, golden }) {
    Object.assign(this, { site, clips, golden, stop: null, recogniser: null });
    this.view = new View(site);
    this.drawing = new Drawing(byId("picture"));
  }

  async start() {
    this.fillForms();
    await this.useModel(byId("precision").value);
    this.listen();
    byId("app").removeAttribute("aria-busy");
    for (const name of ["camera", "play", "measure"]) byId(name).disabled = false;
    if (!this.site.camera) {
      byId("camera").disabled = true;
      byId("camera-note").hidden = false;
    }
  }

  fillForms() {
    const { graphs, threshold, camera } = this.site;
    byId("precision").append(...graphs.map(({ precision, bytes }) => option(precision, `${precision}, ${kilobytes(bytes)}`)));
    byId("clip").append(...this.clips.map(({ name }, index) => option(index, name)));
    byId("threshold").value = threshold;
    byId("threshold-value").textContent = threshold;
    byId("hand-setting").hidden = camera?.detector !== "hand";
    byId("delegate-setting").hidden = byId("mirror-setting").hidden = !camera;
  }

  listen() {
    byId("camera").addEventListener("click", () => this.toggle("camera", () => this.playCamera()));
    byId("play").addEventListener("click", () => this.toggle("play", () => this.playClip()));
    byId("measure").addEventListener("click", () => this.measure());
    byId("precision").addEventListener("change", ({ target }) => this.useModel(target.value));
    byId("threshold").addEventListener("input", ({ target }) => this.useThreshold(Number(target.value)));
    byId("reject").addEventListener("change", ({ target }) => {
      if (this.recogniser) this.recogniser.reject = target.checked;
    });
    for (const name of ["hand", "delegate"])
      byId(name).addEventListener("change", () => {
        if (this.playing === "camera") this.begin("camera", () => this.playCamera());
      });
  }

  useThreshold(threshold) {
    byId("threshold-value").textContent = threshold;
    if (this.recogniser) this.recogniser.decoder.threshold = threshold;
  }

  // Open a graph of the bundle, hold it against the golden tensors, and go on with it.
  async useModel(precision) {
    const graph = this.site.graphs.find((one) => one.precision === precision);
    this.view.state(`Loading the ${precision} model…`);
    const model = await Model.open(graph, this.site.input);
    const right = this.view.check(await checkModel(model, this.golden), precision);
    const before = this.model;
    this.model = model;
    if (this.recogniser) this.recogniser.model = model;
    await before?.close();
    if (!right) return this.view.state("This browser computes something else than the model was shipped with.", { bad: true });
    if (!this.playing) this.view.state("Ready.");
  }

  // Time every file of the bundle; nothing else runs meanwhile.
  async measure() {
    this.end("Measuring…");
    byId("measure").disabled = true;
    const found = await measure(this.site, this.golden);
    const words = found.map(({ precision, milliseconds }) => `${precision} ${milliseconds.toFixed(2)} ms`);
    byId("measured").textContent = words.join(", ");
    this.view.state(`An inference takes ${words.join(", ")}.`);
    byId("measure").disabled = false;
  }

  toggle(name, play) {
    if (this.playing === name) this.end("Stopped.");
    else this.begin(name, play);
  }

  // Start a source in the place of the one before.
  async begin(name, play) {
    this.end("");
    this.playing = name;
    this.view.forget();
    byId(name).setAttribute("aria-pressed", "true");
    byId(name).textContent = byId(name).dataset.stop;
    try {
      await play();
    } catch (error) {
      this.end(error.message, { bad: true });
    }
  }

  end(text, how) {
    this.stop?.();
    this.stop = null;
    this.view.hint("");
    for (const name of ["camera", "play"]) {
      byId(name).setAttribute("aria-pressed", "false");
      byId(name).textContent = byId(name).dataset.start;
    }
    this.playing = null;
    if (text) this.view.state(text, how);
  }

  newRecogniser(source, hand) {
    const adapter = new Adapter(source, this.site.input, this.site.units, hand);
    const options = { threshold: Number(byId("threshold").value), reject: byId("reject").checked };
    this.recogniser = new Recogniser(this.site, this.model, adapter, options);
    return this.recogniser;
  }

  // One frame's points: what is recognised, and what it took.
  async recognise(recogniser, points, time) {
    const before = recogniser.current;
    const event = await recogniser.push(points, time);
    if (recogniser !== this.recogniser) return;
    this.view.prediction(recogniser.current);
    if (recogniser.current !== before && recogniser.current) this.view.figure("model-ms", recogniser.model.milliseconds, 2);
    if (event) this.view.event(event);
  }

  async playClip() {
    const clip = this.clips[Number(byId("clip").value)];
    const recogniser = this.newRecogniser(clip.source, "first");
    this.drawing.fit(clip.points, recogniser.adapter.used, clip.source.units);
    this.view.state(`Playing ${clip.name}.`);
    const player = new ClipPlayer(clip, {
      onFrame: async (points, time) => {
        this.drawing.drawClip(points, clip.source.layout.edges);
        await this.recognise(recogniser, points, time);
      },
      onEnd: () => this.endClip(clip, recogniser),
    });
    this.stop = () => player.stop();
    await player.play();
  }

  // The clip as a whole, beside its class where it is known.
  async endClip(clip, recogniser) {
    const times = Array.from({ length: clip.points.frames }, (_, frame) => frame / clip.fps);
    const top = await recogniser.predict(clip.points, times);
    if (recogniser !== this.recogniser) return;
    this.view.prediction({ top, known: true });
    const truth = clip.label ? ` It is made as: ${clip.label}.` : " It is a made motion of no class that this model knows.";
    this.end(`The whole clip: ${top[0].label}, ${Math.round(top[0].probability * 100)}%.${truth}`);
  }

  async playCamera() {
    const { detector, file, face, source } = this.site.camera;
    const hand = byId("hand").value;
    const recogniser = this.newRecogniser(source, hand);
    const stage = { points: null, began: null, seen: 0, shown: [] };
    const settings = { detector, file: new URL(file, document.baseURI).href, face, hand, delegate: byId("delegate").value };
    this.view.state("Loading the landmark model…");
    const landmarker = new Landmarker(settings, {
      onPoints: (found) => this.takePoints(recogniser, stage, found),
      onFailure: (text) => this.end(`MediaPipe fails: ${text}`, { bad: true }),
    });
    const camera = new Camera(byId("video"), {
      onFrame: (video, time) => this.takeFrame(landmarker, stage, { video, time }),
      onEnd: () => this.end("The camera was unplugged or taken away.", { bad: true }),
    });
    this.stop = () => {
      camera.stop();
      landmarker.close();
      this.drawing.clear();
    };
    await landmarker.ready;
    if (recogniser !== this.recogniser) return;
    await camera.start();
    this.view.state("Watching. Everything stays on this device.");
  }

  takeFrame(landmarker, stage, { video, time }) {
    this.drawing.drawCamera(video, stage.points, this.site.camera.source.layout.edges, byId("mirror").checked);
    stage.began ??= time;
    landmarker.offer(video, time - stage.began);
  }

  async takePoints(recogniser, stage, { points, time, milliseconds }) {
    if (recogniser !== this.recogniser || this.playing !== "camera") return;
    stage.points = points;
    if (recogniser.adapter.sees(points)) stage.seen = time;
    const hidden = time - stage.seen > UNSEEN_S;
    this.view.hint(hidden ? `Nothing to recognise: show ${this.site.camera.wanted} to the camera.` : "");
    this.view.figure("landmarks-ms", milliseconds);
    stage.shown = [...stage.shown, time].slice(-30);
    if (stage.shown.length > 1) this.view.figure("fps", (stage.shown.length - 1) / (time - stage.shown[0]));
    await this.recognise(recogniser, points, time);
  }
}

function option(value, text) {
  const element = document.createElement("option");
  element.value = value;
  element.textContent = text;
  return element;
}

function kilobytes(bytes) {
  return `${Math.round(bytes / 1000)} kB`;
}

async function main() {
  const answer = await fetch("site.json");
  if (!answer.ok) throw new Error(`site.json: ${answer.status}`);
  const site = await answer.json();
  await new App(site, await loadClips(site)).start();
}

main().catch((error) => {
  byId("state").textContent = `The page cannot start: ${error.message}`;
  byId("state").classList.add("bad");
});
