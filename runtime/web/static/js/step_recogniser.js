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
    this.delay = site.stream.delay / site.stream.rate;
    this.spans = site.rules && new SpanDecoder(site.rules, this.delay);
    this.seen = -Infinity;
    this.forget();
  }

  // Forget the recording before.
  startClip() {
    this.forget();
    this.seen = -Infinity;
  }

  // What comes next is the beginning of something else.
  forget() {
    this.ticks.clear();
    this.decoder.reset();
    this.spans?.reset();
    Object.assign(this, { recent: [], state: this.model.start(), current: null });
  }

  // Take one frame's points at `time` seconds; the newest event it completes, or null.
  async push(points, time) {
    const seen = this.adapter.sees(points);
    const lost = time - this.seen > this.options.gap_s;
    if (lost && this.recent.length) this.forget();
    if (lost && !seen) return null;
    if (seen) this.seen = time;
    let event = null;
    for (const tick of this.ticks.push(this.fit(points, time), time)) {
      const answer = await this.model.step(tick.points, this.state);
      this.state = answer.state;
      event = this.read(answer, tick.time) ?? event;
    }
    return event;
  }

  // The frame as the model takes it; of two hands the one seen more of late.
  fit(points, time) {
    this.recent.push({ points, time });
    while (time - this.recent[0].time > (this.adapter.chooses ? CHOICE : 0)) this.recent.shift();
    const fitted = this.adapter.convert(stack(this.recent.map((row) => row.points)));
    return fitted.frame(fitted.frames - 1);
  }

  read({ logits, elapsed }, time) {
    const probabilities = this.rejection.probabilities(logits);
    const known = !this.reject || this.rejection.knows(logits);
    const event = this.decoder.push(probabilities, { start: time - this.delay - elapsed, end: time, known });
    const found = this.spans?.push(probabilities, elapsed, time);
    this.current = { top: this.best(this.decoder.mean), known };
    return this.spans ? this.asEvent(found) : event;
  }

  // A gesture, told at the moment when its end was decided.
  asEvent(found) {
    if (!found || found.probability < this.decoder.threshold) return null;
    const { label, probability, start, decided } = found;
    return { label, probability, start, end: decided };
  }

  // The prediction for a whole clip: the mean over frames, weighed by what is no background.
  async predict(points, times) {
    const fitted = this.adapter.convert(points);
    const ticks = new Ticks(this.ticks.rate);
    const sum = this.labels.map(() => 0);
    let state = this.model.start();
    let total = 0;
    for (const [number, time] of times.entries())
      for (const tick of ticks.push(fitted.frame(number), time)) {
        const answer = await this.model.step(tick.points, state);
        state = answer.state;
        const probabilities = this.rejection.probabilities(answer.logits);
        const shown = probabilities.reduce((part, value, index) => part + (this.decoder.background[index] ? 0 : value), 0);
        total += shown + 1e-9;
        for (const [index, value] of probabilities.entries()) sum[index] += (shown + 1e-9) * value;
      }
    return this.best(sum.map((value) => value / total));
  }
}

// The recogniser of a site, as its bundle is made.
export function makeRecogniser(site, model, adapter, settings) {
  return new (site.stream ? StepRecogniser : Recogniser)(site, model, adapter, settings);
}
