"""A bundle's ONNX file with ONNX Runtime and numpy alone; the contract is docs/onnx_contract.md.

python examples/onnx_only.py zoo/last_lite_nano_shrec14 clip.csv [int8]

clip.csv: one line a frame, V x C numbers parted by commas, joint after joint; nan where a point is missing.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def fit_window(points: np.ndarray, frames: int) -> np.ndarray:
    """(T', V, C) -> (frames, V, C): linear in time over the span that shows any point.

    Where one of the two neighbours is missing the nearer one's point is taken, which may be missing too.
    """
    seen = np.flatnonzero((~np.isnan(points).any(axis=2)).any(axis=1))
    first, last = (seen[0], seen[-1]) if len(seen) else (0, len(points) - 1)
    positions = first + np.linspace(0, 1, frames) * (last - first)
    before = np.floor(positions).astype(int)
    after = np.minimum(before + 1, len(points) - 1)
    weight = (positions - before)[:, None, None]
    blend = points[before] * (1 - weight) + points[after] * weight
    nearer = points[np.where(weight[:, 0, 0] < 0.5, before, after)]
    return np.where(np.isnan(blend).any(axis=2, keepdims=True), nearer, blend).astype(np.float32)


def main(bundle: Path, clip: Path, precision: str = "int8") -> None:
    """Print the three likeliest classes of a clip, and whether the bundle would rather say nothing."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    session = onnxruntime.InferenceSession(bundle / f"model.{precision}.onnx", providers=["CPUExecutionProvider"])
    _, frames, joints, axes = session.get_inputs()[0].shape
    points = np.loadtxt(clip, delimiter=",", ndmin=2).reshape(-1, joints, axes)
    (logits,) = session.run(["logits"], {"landmarks": fit_window(points, frames)[None]})
    thresholds = manifest["thresholds"]
    temperature = thresholds.get("temperature", 1.0)
    scaled = logits[0].astype(np.float64) / temperature
    shifted = np.exp(scaled - scaled.max())
    probabilities = shifted / shifted.sum()
    for index in np.argsort(-probabilities)[:3]:
        print(f"{probabilities[index]:.4f} {manifest['labels'][index]}")
    energy = temperature * (scaled.max() + np.log(shifted.sum()))
    if energy < thresholds.get("energy", -np.inf) or probabilities.max() < thresholds.get("accept", 0.0):
        print("not sure enough to report")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4])
