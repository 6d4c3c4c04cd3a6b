// From probabilities at every frame to gestures with a beginning and an end: the twin of runtime/recognise/spans.py.

export class SpanDecoder {
  // rules: of site.json.
  constructor(rules) {
    this.rules = rules;
    this.reset();
  }

  // Forget everything: what comes next is another recording, or a body that was lost.
  reset() {
    Object.assign(this, { mean: null, began: [], last: 0, below: 0 });
    this.sum = this.rules.labels.map(() => 0);
  }

  // Take a frame's probabilities, background last; the gesture that it ends, or null.
  push(probabilities, elapsed, time) {
    const { on, off, hold, smoothing } = this.rules;
    this.mean = this.mean
      ? probabilities.map((value, index) => smoothing * value + (1 - smoothing) * this.mean[index])
      : probabilities;
    const shown = 1 - this.mean.at(-1);
    if (!this.began.length && shown < on) return null;
    if (shown >= off) {
      this.sum = this.sum.map((value, index) => value + this.mean[index]);
      this.began.push(time - elapsed);
      Object.assign(this, { last: time, below: 0 });
      return null;
    }
    this.below++;
    return this.below >= hold ? this.close(time) : null;
  }

  // What is still shown, as it ends: {label, probability, start, end, decided}, or null where it is too short or unsure.
  close(time) {
    if (!this.began.length) return null;
    const { labels, sure, least_s, start_s, end_s } = this.rules;
    const label = this.sum.indexOf(Math.max(...this.sum));
    const start = Math.max(median(this.began.slice(Math.floor(this.began.length / 2))) + start_s[label], 0);
    const end = Math.max(this.last + end_s[label], start);
    const probability = this.sum[label] / this.began.length;
    Object.assign(this, { sum: labels.map(() => 0), began: [], below: 0 });
    if (probability < sure[label] || end - start < least_s[label]) return null;
    return { label: labels[label], probability, start, end, decided: time };
  }
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
