"""A stream bundle's ONNX file with ONNX Runtime and numpy alone; the contract is docs/onnx_contract.md.

python examples/onnx_only_stream.py BUNDLE recording.csv [int8]

recording.csv: one line a frame at the bundle's own rate, V x C numbers parted by commas, joint after joint; nan where a
point is missing. Prints a line whenever what is shown changes: seconds, probability, class.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main(bundle: Path, recording: Path, precision: str = "int8") -> None:
    """Feed a recording frame by frame and carry the state."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    session = onnxruntime.InferenceSession(bundle / f"model.{precision}.onnx", providers=["CPUExecutionProvider"])
    stream, (_, joints, axes) = manifest["stream"], session.get_inputs()[0].shape
    points = np.loadtxt(recording, delimiter=",", ndmin=2).reshape(-1, 1, joints, axes).astype(np.float32)
    state = {f"state_{part['name']}": np.zeros((1, *part["shape"]), np.float32) for part in stream["state"]}
    outputs, shown = ["logits", *(f"next_{name}" for name in state)], ""
    for number, frame in enumerate(points):
        logits, *after = session.run(outputs, {"landmarks_t": frame, **state})
        state = dict(zip(state, after, strict=True))
        exponents = np.exp(logits[0].astype(np.float64) - logits.max())
        best = int(exponents.argmax())
        if manifest["labels"][best] != shown:
            shown = manifest["labels"][best]
            print(f"{number / stream['rate']:.2f} {exponents[best] / exponents.sum():.4f} {shown}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
