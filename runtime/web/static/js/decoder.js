// From a stream of probabilities to events: smoothing, confirmation, debounce. The twin of runtime/recognise/decoding.py.

// Labels of what is no gesture; they never become events.
const BACKGROUND = ["nothing", "idle", "background", "none"];

export class Decoder {
  // options: smoothing, release, confirm, cooldown_s. threshold: what the best class needs; may be changed any time.
  constructor(labels, options, threshold) {
    Object.assign(this, { labels, options, threshold });
    this.background = labels.map((label) => BACKGROUND.includes(label.trim().toLowerCase()));
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
