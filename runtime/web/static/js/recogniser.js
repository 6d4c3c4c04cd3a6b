// Turns points into predictions and events with a sliding window over time: the twin of runtime/recognise/recognise.py.
import { HandVote } from "./adapter.js";
import { Decoder, Rejection, SpanwiseDecoder } from "./decoder.js";
import { Phases, placeOf } from "./phases.js";
import { SlidingWindow, fitTimes } from "./window.js";

export class Recogniser {
  // site: site.json. model: gives logits of a window. adapter: source points to the bundle's.
  constructor(site, model, adapter, { threshold = site.threshold, reject = true, phases = false } = {}) {
    Object.assign(this, { labels: site.labels, options: site.options, frames: site.input.frames });
    Object.assign(this, { model, adapter, reject, phases });
    this.rejection = new Rejection(site.rejection);
    this.window = new SlidingWindow(site.options.window_s, site.options.gap_s);
    const kind = site.options.decode === "spans" ? SpanwiseDecoder : Decoder;
    this.decoder = new kind(site.labels, site.options.decoding, threshold);
    this.mirroredLabels = site.mirrored_labels;
    this.hand = new HandVote();
    this.lasting = new Phases(site.options.hold_s);
    this.newest = null;
    this.next = -Infinity;
    this.current = null;
  }

  // Forget the recording before.
  startClip() {
    this.window.clear();
    this.hand.clear();
    this.lasting.clear();
    this.newest = null;
    this.decoder.reset();
    this.next = -Infinity;
    this.current = null;
  }

  // Take one frame's points at `time` seconds; the events it completes: {label, probability, start, end, hand, x, y, phase}.
  // `current` is the newest prediction. seen: "left" or "right" where it is known which hand the frame shows.
  async push(points, time, seen = "") {
    this.hand.add(seen);
    this.newest = { points, time };
    return this.told(await this.take(points, time), { points, time });
  }

  // The recording has ended: the events of what was still shown.
  async finish() {
    const { newest } = this;
    this.newest = null;
    return newest ? this.told(await this.end(), { ...newest, last: true }) : [];
  }

  // Events as they are told at a moment: in phases where they are asked for, with hand and place.
  told(events, { points, time, last = false }) {
    if (!this.phases) this.lasting.clear();
    const phases = this.phases ? this.lasting.of(events, time, this.shown, { last }) : events;
    return phases.map((event) => ({ phase: "", ...event, hand: this.hand.side, ...placeOf(points) }));
  }

  // The label that was told and still lasts, or "".
  get shown() {
    return this.decoder.shown;
  }

  // As push: the events that the frame completes.
  async take(points, time) {
    this.window.push(points, time, this.adapter.sees(points));
    if (!this.showsEnough()) {
      this.current = null;
      this.decoder.reset();
      return [];
    }
    if (time < this.next) return [];
    this.next = time + this.options.stride_s;
    const event = await this.predictWindow(time);
    return event ? [event] : [];
  }

  // As finish: a window that is not full is no motion.
  async end() {
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
