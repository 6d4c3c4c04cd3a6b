"""Files of every format changed at random: each is refused with file and reason, or read right; never half a store."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from last_edge.clips import ClipStore
from last_edge.data.prepare import READERS, prepare
from last_edge.data.readers.archive import table_rows
from last_edge.errors import InputError, UsageError
from last_edge.tools.cli import main
from tests.data.readers.samples import OTHERS, SAMPLES

FORMATS: dict[str, Callable[[Path], list[str]]] = {**SAMPLES, **OTHERS}
OPTIONS = {"openpose": {"image_size": "640x480"}, "npz": {"layout": "mediapipe_hand21", "units": "image01"}}
TEXTS = (
    b"",
    b"nan",
    b"-1",
    b"1e39",
    b"99999999999",
    b"\xef\xbb\xbf",
    b"\x00",
    b"\r\n",
    b",",
    b";",
    b'"',
    b"{",
    b"../x",
)
share = st.floats(0, 1, exclude_max=True)


@st.composite
def changes(draw: st.DrawFn) -> tuple[float, Callable[[bytes], bytes]]:
    """Which file, and what is done to its bytes: cut, overwritten, a piece taken out, put in, or twice."""
    kind, at, to = draw(st.integers(0, 4)), draw(share), draw(share)
    text, bits = draw(st.sampled_from(TEXTS)), draw(st.binary(min_size=1, max_size=8))

    def change(content: bytes) -> bytes:
        first, last = sorted((int(at * len(content)), int(to * len(content))))
        return (
            content[:first],
            content[:first] + bits + content[first + len(bits) :],
            content[:first] + content[min(last, first + 40) :],
            content[:first] + text + content[first:],
            content[:last] + content[first:],
        )[kind]

    return draw(share), change


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, dict[str, object]]]:
    """Folder and options of a format's small files, made once."""
    made: dict[str, tuple[Path, dict[str, object]]] = {}

    def find(name: str) -> tuple[Path, dict[str, object]]:
        if name not in made:
            folder = tmp_path_factory.mktemp(name) / "files"
            arguments = FORMATS[name](folder)
            index = {"index": folder / "index.csv"} if "--index" in arguments else {}
            made[name] = folder, {**OPTIONS.get(name, {}), **index}
        return made[name]

    return find


def check(name: str, files: tuple[Path, dict[str, object]], count: int, place: Path) -> None:
    """Change a file, prepare it, put it back; `count` times."""
    folder, options = files
    paths = sorted(path for path in folder.rglob("*") if path.is_file())

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(changes())
    def hold(change: tuple[float, Callable[[bytes], bytes]]) -> None:
        path = paths[int(change[0] * len(paths))]
        whole = path.read_bytes()
        path.write_bytes(change[1](whole))
        try:
            prepared = prepare(name, folder, out=place / "store", options=options, force=True)
            store = ClipStore.open(place / "store")
            store.verify()
            assert len(store) == prepared.clips and not np.isinf(store.frames).any()
            assert all("where:" in fault or str(folder) in fault for fault in prepared.damaged)
            left = ["store"]
        except (InputError, UsageError) as error:
            assert error.what and error.where is not None, error
            left = ["store"] if (place / "store").exists() else []
        finally:
            path.write_bytes(whole)
        assert [item.name for item in sorted(place.iterdir())] == left

    hold()


@pytest.mark.parametrize("name", FORMATS)
def test_a_changed_file_is_refused_or_read(name: str, sample: Callable[[str], tuple], tmp_path: Path) -> None:
    check(name, sample(name), 30, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_five_hundred_changed_files_are_refused_or_read(
    name: str, sample: Callable[[str], tuple], tmp_path: Path
) -> None:
    check(name, sample(name), 500, tmp_path)


def test_every_format_has_a_sample_or_a_test_of_its_own() -> None:
    assert set(READERS) - set(FORMATS) <= {"how2sign", "pose_streams", "shrec21"}


@pytest.mark.parametrize("name", OTHERS)
def test_whole_files_make_a_store(name: str, tmp_path: Path) -> None:
    arguments = FORMATS[name](tmp_path / "files")
    assert main(["data", "prepare", *arguments, "--out", str(tmp_path / "store"), "--quiet"]) == 0, shlex.join(
        arguments
    )
    assert len(ClipStore.open(tmp_path / "store")) >= 2


def test_a_heading_that_is_no_line_is_refused() -> None:
    """A carriage return alone, which the reader of tables stops at."""
    with pytest.raises(InputError, match="not a table"):
        list(table_rows(b"sign\rpath,participant_id\n1,2\n", "train.csv", needed=("path",), more=None))
