// The picture and the skeleton on a canvas. Data is never mirrored; the view may be.

export class Drawing {
  constructor(canvas) {
    Object.assign(this, { canvas, context: canvas.getContext("2d"), view: null });
    this.resize(640, 480);
  }

  resize(width, height) {
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
  }

  clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  // A camera's frame, with the points found in it or in the one before.
  drawCamera(video, points, edges, mirrored) {
    this.resize(video.videoWidth || 640, video.videoHeight || 480);
    const { width, height } = this.canvas;
    this.context.save();
    if (mirrored) this.context.transform(-1, 0, 0, 1, width, 0);
    this.context.drawImage(video, 0, 0, width, height);
    if (points) this.skeleton(points, edges, (x, y) => [x * height, y * height]);
    this.context.restore();
  }

  // One frame of a clip, in the view that `fit` chose for the whole of it.
  drawClip(points, edges) {
    this.clear();
    const { width, height } = this.canvas;
    const { x, y, length, up } = this.view;
    const scale = Math.min(width, height) / length;
    this.skeleton(points, edges, (left, down) => [
      width / 2 + (left - x) * scale,
      height / 2 + (down - y) * scale * (up ? -1 : 1),
    ]);
  }

  // Choose a view that holds some joints of a clip, those that the model reads. In metres y leads up.
  fit(points, joints, units) {
    this.resize(640, 480);
    const low = [Infinity, Infinity];
    const high = [-Infinity, -Infinity];
    const take = (value, axis) => {
      low[axis] = Math.min(low[axis], value);
      high[axis] = Math.max(high[axis], value);
    };
    for (let body = 0; body < points.bodies; body++)
      for (let frame = 0; frame < points.frames; frame++)
        for (const joint of joints) {
          if (points.isMissing(body, frame, joint)) continue;
          const start = points.at(body, frame, joint);
          [0, 1].forEach((axis) => take(points.data[start + axis], axis));
        }
    const length = Math.max(high[0] - low[0], high[1] - low[1], 1e-3) * 1.25;
    this.view = { x: (low[0] + high[0]) / 2, y: (low[1] + high[1]) / 2, length, up: units === "metres" };
  }

  skeleton(points, edges, toPixel) {
    const { context } = this;
    const style = getComputedStyle(this.canvas);
    const size = Math.max(2, this.canvas.height / 180);
    const place = (body, joint) => {
      const start = points.at(body, 0, joint);
      return toPixel(points.data[start], points.data[start + 1]);
    };
    context.lineWidth = size;
    context.lineCap = "round";
    for (let body = 0; body < points.bodies; body++) {
      context.strokeStyle = style.getPropertyValue("--bone");
      for (const [one, other] of edges) {
        if (points.isMissing(body, 0, one) || points.isMissing(body, 0, other)) continue;
        context.beginPath();
        context.moveTo(...place(body, one));
        context.lineTo(...place(body, other));
        context.stroke();
      }
      context.fillStyle = style.getPropertyValue("--joint");
      for (let joint = 0; joint < points.joints; joint++) {
        if (points.isMissing(body, 0, joint)) continue;
        context.beginPath();
        context.arc(...place(body, joint), size, 0, 2 * Math.PI);
        context.fill();
      }
    }
  }
}
