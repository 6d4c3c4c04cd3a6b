// From a stream of probabilities to events: smoothing, confirmation, debounce. The twin of runtime/recognise/decoding.py.

// Labels of what is no gesture; they never become events.
const BACKGROUND = ["nothing", "idle", "background", "none"];

export const isBackground = (label) => BACKGROUND.includes(label.trim().toLowerCase());

export class Decoder {
  // options: smoothing, release, confirm, cooldown_s. threshold: what the best class needs; may be changed any time.
  constructor(labels, options, threshold) {
    Object.assign(this, { labels, options, threshold });
    this.background = labels.map(isBackground);
    this.fired = new Map();
    this.reset();
  }

  // Forget the smoothing and the confirmation: what comes next is another motion.
  reset() {
    Object.assign(this, { mean: null, candidate: -1, agreed: 0, held: -1 });
  }

  // Take the probabilities of the window from `start` to `end` seconds; the event they complete, or null.
  push(probabilities, { start, end, known = true }) {
    const weight = this.options.smoothing;
    this.mean = this.mean
      ? probabilities.map((value, index) => weight * value + (1 - weight) * this.mean[index])
      : probabilities;
    const best = this.mean.indexOf(Math.max(...this.mean));
    const probability = this.mean[best];
    this.release();
    const shown = known && !this.background[best];
    if (!this.confirmed(best, shown ? probability : 0) || !this.mayFire(best, end)) return null;
    this.held = best;
    this.fired.set(best, end);
    return { label: this.labels[best], probability, start, end };
  }

  // The label that was told and still lasts, or "".
  get shown() {
    return this.held < 0 ? "" : this.labels[this.held];
  }

  // A held class may fire again once it has sunk low enough.
  release() {
    if (this.held >= 0 && this.mean[this.held] < this.options.release * this.threshold) this.held = -1;
  }

  // Whether the best class was sure enough so many times in a row.
  confirmed(best, probability) {
    if (probability < this.threshold || probability === 0) {
      Object.assign(this, { candidate: -1, agreed: 0 });
      return false;
    }
    this.agreed = best === this.candidate ? this.agreed + 1 : 1;
    this.candidate = best;
    return this.agreed >= this.options.confirm;
  }

  mayFire(best, now) {
    return best !== this.held && now - (this.fired.get(best) ?? -Infinity) >= this.options.cooldown_s;
  }
}

// How sure a model may say it is, and when it should say nothing: the twin of `Rejection` in runtime/recognise/decoding.py.
export class Rejection {
  // temperature divides the logits; energy is the score below which a motion is unknown, null refuses nothing.
  constructor({ temperature, energy }) {
    Object.assign(this, { temperature, least: energy ?? -Infinity });
  }

  // Whether the logits are those of a motion that the model was taught.
  knows(logits) {
    const scaled = Array.from(logits, (logit) => logit / this.temperature);
    const most = Math.max(...scaled);
    const sum = scaled.reduce((total, value) => total + Math.exp(value - most), 0);
    return this.temperature * (most + Math.log(sum)) >= this.least;
  }

  // Probabilities that sum to 1.
  probabilities(logits) {
    return softmax(logits, this.temperature);
  }
}

export function softmax(logits, temperature = 1) {
  const most = Math.max(...logits);
  const exponents = Array.from(logits, (logit) => Math.exp((logit - most) / temperature));
  const sum = exponents.reduce((total, value) => total + value, 0);
  return exponents.map((value) => value / sum);
}

// From probabilities at every frame to gestures with a beginning and an end: the twin of runtime/recognise/spans.py.
export class SpanDecoder {
  // rules: of site.json. delay: seconds that an answer of the network comes after the frame that it is for. early: a
  // gesture is an event as soon as its label is sure, and not once more at its end; may be changed at any time, as
  // `least` may, the least mean probability of an event where this is more than the rules ask for.
  constructor(rules, delay) {
    Object.assign(this, { rules, delay, early: false, least: 0 });
    this.reset();
  }

  // Forget everything: what comes next is another recording, or a body that was lost.
  reset() {
    Object.assign(this, { mean: null, began: [], first: 0, last: 0, below: 0, told: "" });
    this.sum = this.rules.labels.map(() => 0);
  }

  // Take a frame's probabilities, background last; the gesture that it decides, or null.
  push(probabilities, elapsed, time) {
    const { on, off, hold, smoothing } = this.rules;
    const at = time - this.delay;
    this.mean = this.mean
      ? probabilities.map((value, index) => smoothing * value + (1 - smoothing) * this.mean[index])
      : probabilities;
    const shown = 1 - this.mean.at(-1);
    if (!this.began.length && shown < on) return null;
    if (shown >= off) {
      this.sum = this.sum.map((value, index) => value + this.mean[index]);
      if (!this.began.length) this.first = at;
      this.began.push(at - elapsed);
      Object.assign(this, { last: at, below: 0 });
      return this.tell(time);
    }
    this.below++;
    return this.below >= hold ? this.close(time) : null;
  }

  // What is still shown, as it ends: {label, probability, start, end, decided}, or null where it is too short or unsure.
  close(time) {
    if (!this.began.length) return null;
    const { labels, sure, least_s } = this.rules;
    const { label, ...found } = this.soFar(time);
    const { told } = this;
    Object.assign(this, { sum: labels.map(() => 0), began: [], below: 0, told: "" });
    const short = found.end - found.start < least_s[label];
    if (told || short || found.probability < Math.max(sure, this.least)) return null;
    return { label: labels[label], ...found };
  }

  // The gesture that lasts, once its label is sure and early answers are wanted; else null.
  tell(time) {
    if (!this.early || this.told) return null;
    const { labels, early, least_s } = this.rules;
    const { label, ...found } = this.soFar(time);
    const lasted = this.last - median(this.began);
    const sure = found.probability >= Math.max(early, this.least) && lasted >= least_s[label];
    if (!sure) return null;
    this.told = labels[label];
    return { label: labels[label], ...found };
  }

  // What is shown, as if it ended now; its label by number.
  soFar(time) {
    const { start_s, end_s } = this.rules;
    const label = this.sum.indexOf(Math.max(...this.sum));
    const begun = Math.min(this.first, median(this.began.slice(Math.floor(this.began.length / 2))));
    const start = Math.max(begun + start_s, 0);
    const end = Math.max(this.last + end_s, start);
    return { label, probability: this.sum[label] / this.began.length, start, end, decided: time };
  }
}

// Of SpanwiseDecoder: the share of the threshold below which a gesture is over, for how many answers, and the least mean
// probability of its label.
const OFF = 0.5;
const HOLD = 2;
const EARLY = 0.5;
const LOWEST = 1e-6;

// The rule of SpanDecoder in the place of a Decoder, for answers of windows: told once, from when a gesture is shown
// until it no longer is. The twin of SpanwiseDecoder in runtime/recognise/spans.py.
export class SpanwiseDecoder extends Decoder {
  constructor(labels, options, threshold) {
    super(labels, options, threshold);
    this.gestures = labels.map((_, place) => place).filter((place) => !this.background[place]);
    this.spans = new SpanDecoder(this.rules(), 0);
    this.spans.early = true;
  }

  reset() {
    super.reset();
    this.spans?.reset();
  }

  get shown() {
    return this.spans.told;
  }

  push(probabilities, { start, end, known = true }) {
    super.push(probabilities, { start, end, known });
    this.spans.rules = this.rules();
    const found = this.spans.push(this.answered(probabilities, known), 0, end);
    return found && { label: found.label, probability: found.probability, start, end };
  }

  rules() {
    const names = this.gestures.map((place) => this.labels[place]);
    const on = Math.max(this.threshold, LOWEST);
    const numbers = { on, off: OFF * on, hold: HOLD, smoothing: this.options.smoothing, sure: 0, early: Math.min(EARLY, on) };
    return { labels: names, least_s: names.map(() => 0), start_s: 0, end_s: 0, ...numbers };
  }

  // The gestures' probabilities, and behind them that none is shown.
  answered(probabilities, known) {
    const gestures = this.gestures.map((place) => (known ? probabilities[place] : 0));
    const sum = gestures.reduce((total, value) => total + value, 0);
    return [...gestures, 1 - (this.background.some(Boolean) ? sum : Math.max(...gestures))];
  }
}

export function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
