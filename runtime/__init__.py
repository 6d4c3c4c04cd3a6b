"""From a camera, a video or a replay to recognised gestures on the device. Loads no torch."""
