"""Small files in the public form of each format, with the arguments that read them: for its tests and docs/data.md."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

from last_edge.data.synth.ntu import NtuSynthOptions, skeleton_file
from last_edge.data.synth.ntu import part as ntu_part
from tests.clips.test_pose_file import pose_bytes
from tests.data.readers.test_holistic_words import make_source as words_source
from tests.data.readers.test_shrec17 import make_source as shrec17_source
from tests.data.readers.test_utd_mhad import mat

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


def shrec17(folder: Path) -> list[str]:
    return ["shrec17", str(shrec17_source(made(folder)))]


def dhg(folder: Path) -> list[str]:
    rows = [" ".join(f"{value:.4f}" for value in row) + " " for row in moving(10, 66)]
    for gesture, finger, subject, essai in ((1, 1, 3, 1), (2, 2, 4, 5)):
        place = folder / f"gesture_{gesture}/finger_{finger}/subject_{subject}/essai_{essai}"
        place.mkdir(parents=True)
        (place / "skeleton_world.txt").write_text("\n".join(rows))
    (folder / "informations_troncage_sequences.txt").write_text("1 1 3 1 2 6\n2 2 4 5 0 9\n")
    return ["dhg", str(folder)]


def utd_mhad(folder: Path) -> list[str]:
    for action, subject in ((1, 1), (2, 2), (27, 3)):
        (made(folder) / f"a{action}_s{subject}_t1_skeleton.mat").write_bytes(mat(moving(5, 20, 3).transpose(1, 2, 0)))
    return ["utd_mhad", str(folder)]


def holistic_words(folder: Path) -> list[str]:
    for signer in "ab":
        words_source(made(folder), signer)
    return ["holistic_words", str(folder)]


def ntu(folder: Path) -> list[str]:
    for name in ntu_part(60, groups=2, actions=2):
        (made(folder) / f"{name.clip_id}.skeleton").write_text(skeleton_file(name, NtuSynthOptions(frames=5)))
    return ["ntu", str(folder)]


def posed() -> bytes:
    """A small `.pose` file of hands and a nose."""
    names = ["WRIST", "INDEX_FINGER_TIP", "THUMB_TIP"]
    return pose_bytes({"POSE_LANDMARKS": ["NOSE", "RIGHT_WRIST"], "RIGHT_HAND_LANDMARKS": names}, 5)


def pose(folder: Path) -> list[str]:
    for label in ("hello", "bye"):
        (made(folder / label) / "1.pose").write_bytes(posed())
    (folder / "index.csv").write_text("file,label,split\nhello/1.pose,hello,train\nbye/1.pose,bye,test\n")
    return ["pose", str(folder), "--index", str(folder / "index.csv")]


def wlasl(folder: Path) -> list[str]:
    entries = []
    for number, gloss in enumerate(("book", "drink")):
        (made(folder) / f"{number:05d}.pose").write_bytes(posed())
        instance = {"video_id": f"{number:05d}", "signer_id": number, "split": "train", "frame_start": 1}
        entries.append({"gloss": gloss, "instances": [instance | {"frame_end": -1}]})
    (folder / "WLASL_v0.3.json").write_text(json.dumps(entries))
    return ["wlasl", str(folder)]


def pose_tsv(folder: Path) -> list[str]:
    rows = ["file\ttext\tsplit"]
    for number in range(2):
        (made(folder) / f"{number}.pose").write_bytes(posed())
        rows.append(f"{number}.pose\tsentence {number}\ttrain")
    (folder / "sentences.tsv").write_text("\n".join(rows) + "\n")
    return ["pose_tsv", str(folder)]


def phoenix(folder: Path) -> list[str]:
    lines = []
    for _ in range(2):
        frames = [[*row, number / 3] for number, row in enumerate(moving(4, 150))]
        lines.append(" ".join(f"{value:.5f}" for frame in frames for value in frame))
    texts = {"skels": lines, "text": ["ein Satz", "noch einer"], "gloss": ["SATZ", "NOCH"], "files": ["a/1", "a/2"]}
    for name, rows in texts.items():
        (made(folder) / f"train.{name}").write_text("\n".join(rows) + "\n")
    return ["phoenix", str(folder)]


def npz(folder: Path) -> list[str]:
    for label in ("hello", "bye"):
        arrays = {"frames": moving(10, 21, 3), "lengths": np.array([4, 6]), "split": np.array(["train", "test"])}
        np.savez(made(folder / label) / "1.npz", **arrays)
    return ["npz", str(folder), "--layout", "mediapipe_hand21", "--units", "image01"]


def made(folder: Path) -> Path:
    """The folder, there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


OTHERS: dict[str, Callable[[Path], list[str]]] = {
    sample.__name__: sample
    for sample in (shrec17, dhg, utd_mhad, holistic_words, ntu, pose, wlasl, pose_tsv, phoenix, npz)
}
"""Formats of data sets and of one's own tables, which have their own tests."""
