"""From a run to an artefact: folding, ONNX, static INT8, parity, and the proof of every figure."""
