// The page's state: one model, and one source at a time (camera or clip).
import { Adapter } from "./adapter.js";
import { measure } from "./bench.js";
import { ClipPlayer } from "./clips.js";
import { Drawing } from "./drawing.js";
import { enable, fillForms, settings, showPlaying, showThreshold, whileDisabled } from "./forms.js";
import { checkModel, openModel } from "./model.js";
import { makeRecogniser } from "./step_recogniser.js";
import { Teaching } from "./teach/teaching.js";
import { View, byId } from "./view.js";
import { Watch } from "./watch.js";

// A head of one's own needs the camera's points, and features of whole windows.
const canTeach = ({ camera, stream, graphs }) => Boolean(camera && !stream && graphs.every(({ features }) => features));
const STRANGE = "This browser computes something else than the model was shipped with.";

export class App {
  constructor(site, { clips, golden }) {
    Object.assign(this, { site, clips, golden, model: null, recogniser: null, playing: null, stop: null });
    this.view = new View(site);
    this.drawing = new Drawing(byId("picture"));
    this.sources = { camera: () => this.watch(), play: () => this.playClip() };
    this.teaching = canTeach(site) ? new Teaching(this) : null;
    byId("teach").hidden = !this.teaching;
  }

  async start() {
    fillForms(this.site, this.clips);
    await this.useModel(settings().precision);
    this.listen();
    enable(this.site);
  }

  listen() {
    for (const name of Object.keys(this.sources)) byId(name).addEventListener("click", () => this.toggle(name));
    byId("measure").addEventListener("click", () => this.tell(() => this.measure()));
    byId("precision").addEventListener("change", () => this.tell(() => this.useModel(settings().precision)));
    byId("threshold").addEventListener("input", () => this.useSettings());
    for (const name of ["reject", "early", "phases"]) byId(name).addEventListener("change", () => this.useSettings());
    for (const name of ["hand", "delegate"])
      byId(name).addEventListener("change", () => this.playing === "camera" && this.begin("camera"));
  }

  // Do something and tell the reader when it fails.
  async tell(work) {
    try {
      await work();
    } catch (error) {
      this.end(error.message, { bad: true });
    }
  }

  useSettings() {
    showThreshold();
    const { threshold, reject, early, phases } = settings();
    if (!this.recogniser) return;
    this.recogniser.decoder.threshold = threshold;
    Object.assign(this.recogniser, { reject, early, phases });
  }

  // Open a graph of the bundle, hold it against the golden tensors, and go on with it.
  async useModel(precision) {
    const graph = this.site.graphs.find((one) => one.precision === precision);
    this.view.state(`Loading the ${precision} model…`);
    const right = await whileDisabled("precision", async () => {
      const model = await openModel(graph, this.site);
      const before = this.model;
      this.model = model;
      if (this.recogniser) this.recogniser.model = this.teaching?.model(model) ?? model;
      await before?.close();
      return this.view.check(await checkModel(model, this.golden), precision);
    });
    this.view.state(right ? (this.playing ? `Going on with ${precision}.` : "Ready.") : STRANGE, { bad: !right });
  }

  // Time every file of the bundle; nothing else runs meanwhile.
  async measure() {
    this.end("Measuring…");
    const found = await whileDisabled("measure", () => measure(this.site, this.golden));
    const words = found.map(({ precision, milliseconds }) => `${precision} ${milliseconds.toFixed(2)} ms`).join(", ");
    byId("measured").textContent = words;
    this.view.state(`An inference takes ${words}.`);
  }

  toggle(name) {
    if (this.playing === name) this.end("Stopped.");
    else this.begin(name);
  }

  // Start a source in the place of the one before, whose late failures are nobody's concern then.
  async begin(name) {
    this.end("");
    this.playing = name;
    this.view.forget();
    showPlaying(name);
    const source = this.sources[name]();
    const { stop } = this;
    try {
      await source;
    } catch (error) {
      if (this.stop === stop) this.end(error.message, { bad: true });
    }
  }

  end(text, how) {
    this.stop?.();
    Object.assign(this, { stop: null, playing: null });
    this.view.hint("");
    showPlaying(null);
    if (text) this.view.state(text, how);
  }

  newRecogniser(source, hand) {
    const adapter = new Adapter(source, this.site.input, this.site.units, hand, this.site.hands);
    const { teaching, site, model } = this;
    const given = teaching ? [teaching.site(site), teaching.model(model)] : [site, model];
    this.recogniser = makeRecogniser(...given, adapter, settings());
    return this.recogniser;
  }

  // One frame's points: what is recognised, and what it took.
  async recognise(recogniser, points, time, seen = "") {
    const before = recogniser.current;
    const events = await recogniser.push(points, time, seen);
    if (recogniser !== this.recogniser) return;
    const { current, model } = recogniser;
    this.view.prediction(current);
    if (current && current !== before) this.view.figure("model-ms", model.milliseconds, 2);
    for (const event of events) this.view.event(event);
  }

  async watch() {
    const { camera } = this.site;
    const recogniser = this.newRecogniser(camera.source, settings().hand);
    const watch = new Watch(camera, {
      view: this.view,
      drawing: this.drawing,
      adapter: recogniser.adapter,
      settings,
      onPoints: (points, time, seen) => {
        this.teaching?.offer(points, time, seen);
        return this.recognise(recogniser, points, time, seen);
      },
      onEnd: (text) => this.end(text, { bad: true }),
    });
    this.stop = () => watch.stop();
    this.view.state("Loading the landmark model…");
    await watch.start();
    if (!watch.stopped) this.view.state("Watching. Everything stays on this device.");
  }

  async playClip() {
    const clip = this.clips[settings().clip];
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
    if (recogniser !== this.recogniser || this.playing !== "play") return;
    for (const event of await recogniser.finish()) this.view.event(event);
    this.view.prediction({ top, known: true });
    const truth = clip.label ? ` It is made as: ${clip.label}.` : " It is a made motion of no class that this model knows.";
    this.end(`The whole clip: ${top[0].label}, ${Math.round(top[0].probability * 100)}%.${truth}`);
  }
}
