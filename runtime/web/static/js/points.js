// Points of a clip: bodies M, frames T, joints V, axes C in one Float32Array, NaN where a coordinate is missing.

export class Points {
  constructor(bodies, frames, joints, axes, data = null) {
    Object.assign(this, { bodies, frames, joints, axes });
    this.data = data ?? new Float32Array(bodies * frames * joints * axes).fill(NaN);
  }

  // Where the coordinates of a joint begin.
  at(body, frame, joint) {
    return ((body * this.frames + frame) * this.joints + joint) * this.axes;
  }

  isMissing(body, frame, joint) {
    const start = this.at(body, frame, joint);
    for (let axis = 0; axis < this.axes; axis++) if (Number.isNaN(this.data[start + axis])) return true;
    return false;
  }

  // Whether a frame shows any of some joints of any body.
  shows(frame, joints) {
    for (let body = 0; body < this.bodies; body++)
      for (const joint of joints) if (!this.isMissing(body, frame, joint)) return true;
    return false;
  }

  // One frame, as points of a clip of one frame.
  frame(number) {
    return this.part(number, number + 1);
  }

  // The frames from a first one to before a last one.
  part(first, last) {
    const some = new Points(this.bodies, last - first, this.joints, this.axes);
    for (let body = 0; body < this.bodies; body++)
      some.data.set(this.data.subarray(this.at(body, first, 0), this.at(body, last, 0)), some.at(body, 0, 0));
    return some;
  }
}

// Clips of one frame each, one behind the other in time.
export function stack(frames) {
  const { bodies, joints, axes } = frames[0];
  const whole = new Points(bodies, frames.length, joints, axes);
  const size = joints * axes;
  frames.forEach((frame, number) => {
    for (let body = 0; body < bodies; body++)
      whole.data.set(frame.data.subarray(body * size, (body + 1) * size), whole.at(body, number, 0));
  });
  return whole;
}
