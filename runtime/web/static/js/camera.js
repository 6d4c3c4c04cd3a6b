// The camera: its frames as bitmaps with their times, and why there are none.

const WHY = {
  SecurityError: "This page may not use cameras: it must come by https or from this machine.",
  NotAllowedError: "The camera was not allowed. Allow it for this address in the browser's settings and start again.",
  NotFoundError: "No camera was found. You can still play a clip.",
  NotReadableError: "The camera is in use by another program.",
};

export class Camera {
  // video: the element that plays it. onFrame(video, seconds) is called once for each new frame.
  constructor(video, { onFrame, onEnd }) {
    Object.assign(this, { video, onFrame, onEnd, stream: null, stopped: false });
  }

  // Throws an Error with a sentence for the reader.
  async start() {
    if (!navigator.mediaDevices) throw new Error(WHY.SecurityError);
    try {
      const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
      this.stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    } catch (error) {
      throw new Error(WHY[error.name] ?? `The camera cannot be used: ${error.message}`);
    }
    if (this.stopped) return this.stop();
    this.stream.getVideoTracks()[0].addEventListener("ended", () => this.onEnd());
    this.video.srcObject = this.stream;
    await this.video.play();
    this.next();
  }

  // Also where the browser is still asking whether the camera may be used.
  stop() {
    this.stopped = true;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
  }

  next() {
    if (!this.stream) return;
    const take = (now) => {
      if (!this.stream) return;
      this.onFrame(this.video, now / 1000);
      this.next();
    };
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(take);
    else requestAnimationFrame(take);
  }
}
