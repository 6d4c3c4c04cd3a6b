// Turns points into predictions and events with a sliding window over time: the twin of runtime/recognise/recognise.py.
import { Decoder, SpanwiseDecoder } from "./decoder.js";
import { HandVote } from "./hand_vote.js";
import { Rejection } from "./rejection.js";
import { SlidingWindow, fitTimes } from "./window.js";

export class Recogniser {
  // site: site.json. model: gives logits of a window. adapter: source points to the bundle's.
  constructor(site, model, adapter, { threshold = site.threshold, reject = true } = {}) {
    Object.assign(this, { labels: site.labels, options: site.options, frames: site.input.frames });
    Object.assign(this, { model, adapter, reject });
    this.rejection = new Rejection(site.rejection);
    this.window = new SlidingWindow(site.options.window_s, site.options.gap_s);
    const kind = site.options.decode === "spans" ? SpanwiseDecoder : Decoder;
    this.decoder = new kind(site.labels, site.options.decoding, threshold);
    this.mirroredLabels = site.mirrored_labels;
    this.hand = new HandVote();
    this.next = -Infinity;
    this.current = null;
  }

  // Forget the recording before.
  startClip() {
    this.window.clear();
    this.hand.clear();
    this.decoder.reset();
    this.next = -Infinity;
    this.current = null;
  }

  // Take one frame's points at `time` seconds; the event it completes, or null. `current` is the newest prediction.
  // seen: "left" or "right" where it is known which hand the frame shows.
  async push(points, time, seen = "") {
    this.hand.add(seen);
    this.window.push(points, time, this.adapter.sees(points));
    if (!this.showsEnough()) {
      this.current = null;
      this.decoder.reset();
      return null;
    }
    if (time < this.next) return null;
    this.next = time + this.options.stride_s;
    return this.predictWindow(time);
  }

  // The recording has ended: the events of what was still shown.
  async finish() {
    return [];
  }

  // The prediction for a whole clip, smoothed by nothing.
  async predict(points, times) {
    const { probabilities } = await this.answer(points, times);
    return this.best(probabilities);
  }

  showsEnough() {
    const { frames, seconds } = this.window.seen;
    return frames >= this.options.least_seen && seconds >= this.options.least_s;
  }

  async predictWindow(time) {
    const { points, times } = this.window.contents();
    const { probabilities, known } = await this.answer(points, times);
    const event = this.decoder.push(probabilities, { start: times[0], end: time, known });
    this.current = { top: this.best(this.decoder.mean), known };
    return event;
  }

  async answer(points, times) {
    const { points: fitting, mirrored } = this.adapter.fit(points, this.hand.side);
    const given = await this.model.logits(fitTimes(fitting, times, this.frames));
    return this.read(given, mirrored);
  }

  // What a model's logits say: of a mirrored hand the labels are those of its mirror image.
  read(given, mirrored) {
    const logits = mirrored ? given.map((_, place) => given[this.mirroredLabels[place]]) : given;
    return {
      probabilities: this.rejection.probabilities(logits),
      known: !this.reject || this.rejection.knows(logits),
    };
  }

  // The likeliest classes, best first.
  best(probabilities) {
    const order = probabilities.map((_, index) => index).sort((one, other) => probabilities[other] - probabilities[one]);
    return order.slice(0, this.options.top).map((index) => ({
      label: this.labels[index],
      probability: probabilities[index],
    }));
  }
}
