// Which hand a stream shows, by what is said of its frames: the twin of HandVote in runtime/recognise/adapt.py.
const KEPT = 0.95;

export class HandVote {
  constructor() {
    this.clear();
  }

  // side: "left", "right", or "" for a frame that nothing is said of.
  add(side) {
    if (side === "right") this.right = KEPT * this.right + 1;
    if (side === "left") this.right = KEPT * this.right - 1;
  }

  clear() {
    this.right = 0;
  }

  // "left", "right", or "" while nothing was said.
  get side() {
    return this.right === 0 ? "" : this.right > 0 ? "right" : "left";
  }
}
