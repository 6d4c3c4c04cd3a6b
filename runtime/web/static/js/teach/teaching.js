// Own gestures in the page: takes of the camera teach a last layer on the model's features, which then runs live.
import { Adapter, HandVote } from "../adapter.js";
import { isBackground } from "../decoder.js";
import { setThreshold, whileDisabled } from "../forms.js";
import { heldOut, trainHead } from "./head.js";
import { Takes } from "./takes.js";
import { byId } from "../view.js";
import { fitTimes } from "../window.js";

const COUNT_DOWN = 3;
const TAKE_S = 2.5;
// Which part of a take is learnt besides the whole: a sliding window rarely holds just the gesture.
const PARTS = [[0, 1], [0, 0.85], [0.15, 1], [0.08, 0.92]];
const LEAST_TAKES = 3;
const THRESHOLD = 0.6;

export class Teaching {
  // app: the page; its camera's points are offered to `offer`.
  constructor(app) {
    const { camera } = app.site;
    Object.assign(this, { app, recording: null, learnt: null, used: false });
    this.takes = new Takes(camera.source.layout, camera.source.units);
    const buttons = {
      take: () => this.record(),
      undo: () => this.undo(),
      learn: () => this.learn(),
      use: () => this.use(!this.used),
      save: () => this.save(),
    };
    for (const [name, work] of Object.entries(buttons)) byId(name).addEventListener("click", () => this.tell(work));
    byId("load").addEventListener("change", (event) => this.tell(() => this.load(event.target.files[0])));
    this.show();
  }

  // Do something, and say here what went wrong.
  async tell(work) {
    try {
      await work();
    } catch (error) {
      this.say(error.message, { bad: true });
    }
    this.show();
  }

  // One frame of the camera.
  offer(points, time, seen) {
    if (!this.recording) return;
    this.recording.hand.add(seen);
    this.recording.frames.push(points);
    this.recording.times.push(time);
  }

  // Count down, take what the camera shows for a while.
  async record() {
    const label = byId("gesture").value.trim();
    if (!label) throw new Error("Name the gesture first.");
    await whileDisabled("take", async () => {
      if (this.app.playing !== "camera") {
        this.say("Starting the camera…");
        await this.app.begin("camera");
      }
      if (this.app.playing !== "camera") throw new Error("There is no camera to record from.");
      for (let left = COUNT_DOWN; left > 0; left--) {
        this.say(`${label} in ${left}…`);
        await seconds(1);
      }
      this.recording = { frames: [], times: [], hand: new HandVote() };
      this.say(`Now: ${label}`);
      await seconds(TAKE_S);
      const { frames, times, hand } = this.recording;
      this.recording = null;
      const why = this.takes.add(label, frames, times, hand.side);
      this.say(why ? `Not kept: ${why}.` : `Kept: ${label}, take ${this.takes.count(label)}.`, { bad: Boolean(why) });
    });
  }

  undo() {
    const gone = this.takes.undo();
    this.say(gone ? `Taken out: a take of ${gone.label}.` : "There is no take.");
  }

  // Teach a head, and say how it does on takes that it was not taught.
  async learn() {
    const { labels } = this.takes;
    const few = labels.filter((label) => this.takes.count(label) < LEAST_TAKES);
    if (labels.length < 2) throw new Error("Take at least two gestures, or one and nothing.");
    if (few.length) throw new Error(`Take ${LEAST_TAKES} or more of each: ${few.join(", ")}.`);
    await whileDisabled("learn", async () => {
      this.say("Learning…");
      await seconds(0);
      const { rows, classes, numbers } = await this.rows(labels);
      const found = heldOut(rows, classes, numbers, labels.length);
      this.learnt = { labels, head: trainHead(rows, classes, labels.length) };
      this.use(true);
      const alone = labels.some(isBackground) ? "" : " Takes of “nothing” would keep it silent.";
      this.say(`${found.right} of ${found.takes} takes are recognised when they are left out.${alone}`);
    });
  }

  // Features of parts of every take, the class and the number of each one's take; the whole takes come first.
  async rows(labels) {
    const { site, model } = this.app;
    const [rows, classes, numbers] = [[], [], []];
    for (const [start, end] of PARTS)
      for (const [number, { label, points, times, side }] of this.takes.all.entries()) {
        const adapter = new Adapter(site.camera.source, site.input, site.units, "first", site.hands);
        const fitted = adapter.fit(points, side).points;
        const chosen = times.flatMap((_, frame) => (inside(frame / (times.length - 1), start, end) ? [frame] : []));
        const part = fitted.part(chosen[0], chosen.at(-1) + 1);
        rows.push(await model.features(fitTimes(part, times.slice(chosen[0], chosen.at(-1) + 1), site.input.frames)));
        classes.push(labels.indexOf(label));
        numbers.push(number);
      }
    return { rows, classes, numbers };
  }

  // Whether what was learnt answers in the place of the bundle's own classes.
  use(own) {
    if (own && !this.learnt) throw new Error("Learn first.");
    this.used = own;
    const { playing, site } = this.app;
    setThreshold(own ? THRESHOLD : site.threshold);
    this.say(own ? `Recognising ${this.learnt.labels.join(", ")}.` : "Recognising the bundle's own classes.");
    if (playing) this.app.begin(playing);
    else this.app.view.forget();
  }

  // What a recogniser is made of, as long as what was learnt is in use.
  site(site) {
    if (!this.used) return site;
    const { labels } = this.learnt;
    const mirrored = labels.map((_, place) => place);
    return { ...site, labels, mirrored_labels: mirrored, rejection: { temperature: 1, energy: null } };
  }

  model(model) {
    if (!this.used) return model;
    const { head } = this.learnt;
    return {
      logits: async (points) => head.logits(await model.features(points)),
      get milliseconds() {
        return model.milliseconds;
      },
    };
  }

  save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([this.takes.toText()], { type: "application/json" }));
    link.download = "takes.json";
    link.click();
    URL.revokeObjectURL(link.href);
    this.say("Saved takes.json. Beside it: last-edge teach mine --takes .");
  }

  async load(file) {
    if (!file) return;
    this.takes.addText(await file.text());
    this.say(`${this.takes.all.length} takes.`);
  }

  say(text, { bad = false } = {}) {
    byId("teach-state").textContent = text;
    byId("teach-state").classList.toggle("bad", bad);
    this.show();
  }

  show() {
    const { labels } = this.takes;
    byId("counts").textContent = labels.map((label) => `${label} ${this.takes.count(label)}`).join(", ") || "none yet";
    byId("undo").disabled = byId("save").disabled = byId("learn").disabled = !labels.length;
    byId("use").disabled = !this.learnt;
    byId("use").setAttribute("aria-pressed", String(this.used));
    byId("use").textContent = this.used ? "Use the bundle's classes" : "Use what was learnt";
  }
}

const seconds = (count) => new Promise((resolve) => setTimeout(resolve, count * 1000));
const inside = (place, start, end) => place >= start && place <= end;
