"""Small files in the public form of each format, with the arguments that read them: for its tests and docs/data.md."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

RANDOM = np.random.default_rng(0)


def moving(frames: int, *shape: int) -> np.ndarray:
    """Points within the image that move a little."""
    return np.clip(0.5 + RANDOM.normal(0, 0.1, shape) + RANDOM.normal(0, 0.01, (frames, *shape)).cumsum(0), 0.05, 0.95)


def mediapipe_npy(folder: Path) -> list[str]:
    for word in ("hello", "thanks"):
        for sequence in range(3):
            rows = moving(8, 1662)
            rows[3, -63:] = 0
            place = folder / word / str(sequence)
            place.mkdir(parents=True)
            for number, row in enumerate(rows):
                np.save(place / f"{number}.npy", row)
    return ["mediapipe_npy", str(folder)]


def landmark_csv(folder: Path) -> list[str]:
    folder.mkdir()
    lines = ["label," + ",".join(f"{axis}{joint}" for joint in range(21) for axis in "xyz")]
    lines += [",".join([label, *(f"{value:.4f}" for value in moving(1, 63)[0])]) for label in ("fist", "palm", "fist")]
    (folder / "shapes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return ["landmark_csv", str(folder), "--frames", "8"]


def asl_signs(folder: Path) -> list[str]:
    import pyarrow
    import pyarrow.parquet

    rows = ["path,participant_id,sequence_id,sign"]
    sizes = {"face": 468, "left_hand": 21, "pose": 33, "right_hand": 21}
    (folder / "train_landmark_files" / "7").mkdir(parents=True)
    for number, sign in enumerate(("tv", "bird", "tv")):
        path = f"train_landmark_files/7/{1000 + number}.parquet"
        rows.append(f"{path},{7 + number},{1000 + number},{sign}")
        points = moving(5, 543, 3)
        points[:, 468:489] = np.nan
        kinds = np.concatenate([np.repeat(kind, size) for kind, size in sizes.items()])
        index = np.concatenate([np.arange(size) for size in sizes.values()])
        columns = {"frame": np.repeat(np.arange(20, 25), 543), "type": np.tile(kinds, 5)}
        columns["landmark_index"] = np.tile(index, 5)
        columns |= {axis: points[..., place].reshape(-1) for place, axis in enumerate("xyz")}
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / path)
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    return ["asl_signs", str(folder)]


def openpose(folder: Path) -> list[str]:
    for label in ("wave", "clap"):
        for clip in ("a", "b"):
            place = folder / label / clip
            place.mkdir(parents=True)
            for number, row in enumerate(moving(6, 25, 2)):
                triples = np.concatenate([row * [640, 480], np.full((25, 1), 0.9)], 1)
                person = {"pose_keypoints_2d": triples.reshape(-1).tolist(), "hand_left_keypoints_2d": []}
                people = [] if number == 2 else [person]
                name = place / f"{clip}_{number + 100:012d}_keypoints.json"
                name.write_text(json.dumps({"version": 1.3, "people": people}))
    return ["openpose", str(folder), "--image-size", "640x480"]


def kinetics(folder: Path) -> list[str]:
    for part in ("kinetics_train", "kinetics_val"):
        (folder / part).mkdir(parents=True)
        for number, label in enumerate(("juggling", "archery")):
            data = [
                {"frame_index": frame + 1, "skeleton": [{"pose": row.reshape(-1).tolist(), "score": [0.5] * 18}]}
                for frame, row in enumerate(moving(6, 18, 2))
            ]
            content = {"data": data, "label": label, "label_index": number}
            (folder / part / f"clip{number}.json").write_text(json.dumps(content))
    return ["kinetics", str(folder)]


def pyskl(folder: Path) -> list[str]:
    folder.mkdir()
    annotations = [
        {
            "frame_dir": f"S001C001P{person:03d}R001A{label + 1:03d}", "label": label, "total_frames": 6,
            "img_shape": (480, 640), "original_shape": (480, 640),
            "keypoint": (moving(6, 17, 2)[None] * [640, 480]).astype(np.float16),
            "keypoint_score": np.full((1, 6, 17), 0.8, np.float16),
        }
        for person in (1, 2) for label in (0, 1)
    ]  # fmt: skip
    names = [entry["frame_dir"] for entry in annotations]
    content = {"split": {"xsub_train": names[:2], "xsub_val": names[2:]}, "annotations": annotations}
    (folder / "ntu60_hrnet.pkl").write_bytes(pickle.dumps(content))
    return ["pyskl", str(folder)]


def ctrgcn(folder: Path) -> list[str]:
    folder.mkdir()
    arrays = {}
    for part in ("train", "test"):
        points = np.zeros((3, 10, 150), np.float32)
        points[:, :7, :75] = moving(7, 3, 75).swapaxes(0, 1)
        arrays |= {f"x_{part}": points, f"y_{part}": np.eye(4, dtype=np.float32)[[0, 1, 3]]}
    np.savez(folder / "NTU60_CS.npz", **arrays)
    return ["ctrgcn", str(folder)]


SAMPLES: dict[str, Callable[[Path], list[str]]] = {
    made.__name__: made for made in (mediapipe_npy, landmark_csv, asl_signs, openpose, kinetics, pyskl, ctrgcn)
}
