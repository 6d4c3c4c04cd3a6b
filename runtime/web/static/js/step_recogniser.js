// Predictions and events of a model that answers at every frame: the twin of runtime/recognise/step_stream.py.
import { SpanDecoder } from "./decoder.js";
import { stack } from "./points.js";
import { Recogniser } from "./recogniser.js";
import { Ticks } from "./window.js";

// Seconds of frames in which the hand that is seen more is the one that counts.
const CHOICE = 0.5;

export class StepRecogniser extends Recogniser {
  constructor(site, model, adapter, settings) {
    super(site, model, adapter, settings);
    this.ticks = new Ticks(site.stream.rate);
    this.late = site.stream.delay;
    this.delay = this.late / site.stream.rate;
    this.spans = site.rules && new SpanDecoder(site.rules, this.delay);
    this.early = settings?.early ?? false;
    this.startClip();
  }

  // Forget the recording before.
  startClip() {
    this.hand.clear();
    this.lasting.clear();
    this.newest = null;
    this.forget();
    this.seen = -Infinity;
  }

  // What comes next is the beginning of something else.
  forget() {
    this.ticks.clear();
    this.decoder.reset();
    this.spans?.reset();
    Object.assign(this, { recent: [], last: null, answers: 0, state: this.model.start(), current: null });
  }

  get shown() {
    return this.spans ? this.spans.told : super.shown;
  }

  // As push: the events that the frame completes.
  async take(points, time) {
    const sees = this.adapter.sees(points);
    const lost = time - this.seen > this.options.gap_s;
    const events = [];
    if (lost && this.recent.length) {
      events.push(this.close(time));
      this.forget();
    }
    if (!lost || sees) {
      if (sees) this.seen = time;
      const { fitted, mirrored } = this.fit(points, time);
      for (const tick of this.ticks.push(fitted, time)) events.push(await this.step({ ...tick, mirrored }));
    }
    return events.filter(Boolean);
  }

  // As finish: the last frame stands still until the model has answered it, and what is shown then ends.
  async end() {
    if (!this.last) return [];
    const { points, time, mirrored } = this.last;
    const { rate } = this.ticks;
    const events = [];
    for (let more = 1; more <= this.late; more++)
      events.push(await this.step({ points, time: time + more / rate, mirrored }));
    events.push(this.close(time + this.delay));
    this.forget();
    return events.filter(Boolean);
  }

  // The frame as the model takes it, and whether it is mirrored; of two hands the one seen more of late.
  fit(points, time) {
    this.recent.push({ points, time });
    while (time - this.recent[0].time > (this.adapter.chooses ? CHOICE : 0)) this.recent.shift();
    const fitted = this.adapter.fit(stack(this.recent.map((row) => row.points)), this.hand.side);
    return { fitted: fitted.points.frame(fitted.points.frames - 1), mirrored: fitted.mirrored };
  }

  // The event that the next frame at the model's rate completes, or null.
  async step(tick) {
    const { logits, elapsed, state } = await this.model.step(tick.points, this.state);
    Object.assign(this, { state, last: tick, answers: this.answers + 1 });
    const { probabilities, known } = this.read(logits, tick.mirrored);
    const event = this.decoder.push(probabilities, { start: tick.time - this.delay - elapsed, end: tick.time, known });
    this.current = { top: this.best(this.decoder.mean), known };
    if (!this.spans) return event;
    if (this.answers <= this.late) return null; // the first answers are for frames before the first
    Object.assign(this.spans, { early: this.early || this.phases, least: this.decoder.threshold });
    return asEvent(this.spans.push(probabilities, elapsed, tick.time));
  }

  // The gesture that is still shown, as it ends; or null.
  close(time) {
    return asEvent(this.spans?.close(time));
  }

  // The prediction for a whole clip: the mean over frames, weighed by what is no background.
  async predict(points, times) {
    const { points: fitted, mirrored } = this.adapter.fit(points, this.hand.side);
    const ticks = new Ticks(this.ticks.rate);
    const sum = this.labels.map(() => 0);
    let state = this.model.start();
    let total = 0;
    for (const [number, time] of times.entries())
      for (const tick of ticks.push(fitted.frame(number), time)) {
        const answer = await this.model.step(tick.points, state);
        state = answer.state;
        const { probabilities } = this.read(answer.logits, mirrored);
        const shown = probabilities.reduce((part, value, index) => part + (this.decoder.background[index] ? 0 : value), 0);
        total += shown + 1e-9;
        for (const [index, value] of probabilities.entries()) sum[index] += (shown + 1e-9) * value;
      }
    return this.best(sum.map((value) => value / total));
  }
}

// A gesture, told at the moment when it was decided.
function asEvent(found) {
  return found ? { label: found.label, probability: found.probability, start: found.start, end: found.decided } : null;
}

// The recogniser of a site, as its bundle is made.
export function makeRecogniser(site, model, adapter, settings) {
  return new (site.stream ? StepRecogniser : Recogniser)(site, model, adapter, settings);
}
