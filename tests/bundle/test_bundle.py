"""A bundle holds what was written, and refuses to open when anything in it changed."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import pickle
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from last_edge import records
from last_edge.bundle import Bundle, Golden, Manifest, ModelInfo, write_bundle
from last_edge.bundle import bundle as archive_module
from last_edge.bundle.bundle import POINTS, rewrite_bundle
from last_edge.bundle.manifest import GOLDEN, MANIFEST
from last_edge.errors import InputError, UsageError
from last_edge.inputs import InputSpec
from last_edge.skeleton import get_layout


def golden() -> Golden:
    points = np.random.default_rng(0).normal(size=(2, 8, 22, 3)).astype(np.float32)
    points[0, 1, 2] = np.nan
    return Golden({"landmarks": points}, {"fp32": np.zeros((2, 3), np.float32)})


def manifest() -> Manifest:
    spec = InputSpec(get_layout("shrec22"), frames=8)
    info = ModelInfo("last_lite_nano", {"act": "relu"}, 61_000)
    return Manifest(
        "wave",
        info,
        {},
        spec,
        "metres",
        "right-handed",
        ("a", "b", "c"),
        metrics={"fp32": {"top1": 93.5, "n": 840, "split": "test"}},
        parity=({"pair": "torch:fp32", "n": 2, "max_abs": 1e-6},),
        calibration_ids=("clip-1", "clip-2"),
    )


FILES = {"model.fp32.onnx": b"graph bytes", "card.md": b"# wave\n", GOLDEN: golden().to_bytes()}


@pytest.fixture(params=["bundle", "bundle.last"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    write_bundle(path, manifest(), files=FILES)
    return path


def replace_member(path: Path, name: str, content: bytes) -> None:
    """Change one file of a bundle without touching its manifest."""
    if path.is_dir():
        (path / name).write_bytes(content)
        return
    members = archive_module.read_archive(path)
    archive_module.write_archive(path, {**members, name: content})


def test_round_trip(written: Path) -> None:
    bundle = Bundle.open(written)
    assert bundle.precisions == ("fp32",)
    assert bundle.graph("fp32") == b"graph bytes"
    assert bundle.manifest.input == manifest().input
    assert bundle.manifest.metrics == {"fp32": {"top1": 93.5, "n": 840, "split": "test"}}
    np.testing.assert_array_equal(bundle.golden.points, golden().points)
    assert bundle.read("card.md") == b"# wave\n"


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_any_changed_byte_is_an_error_that_names_the_file(written: Path, name: str) -> None:
    content = bytearray(Bundle.open(written).contents[name])
    rng = np.random.default_rng(len(content))
    for position in rng.choice(len(content), size=min(6, len(content)), replace=False):
        changed = bytearray(content)
        changed[position] ^= 1 << int(rng.integers(8))
        replace_member(written, name, bytes(changed))
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            Bundle.open(written)
    replace_member(written, name, bytes(content))
    Bundle.open(written)


def test_a_changed_label_is_seen_though_the_json_is_valid(written: Path) -> None:
    content = Bundle.open(written).contents[MANIFEST].replace(b'"a"', b'"z"')
    replace_member(written, MANIFEST, content)
    with pytest.raises(InputError, match="bytes have changed"):
        Bundle.open(written)
    assert Bundle.open(written, verify_hashes=False).manifest.labels == ("z", "b", "c")


def test_unknown_and_missing_fields_are_named(written: Path) -> None:
    record = json.loads(Bundle.open(written).contents[MANIFEST])
    replace_member(written, MANIFEST, json.dumps({**record, "lables": []}).encode())
    with pytest.raises(InputError, match="unknown field 'lables'"):
        Bundle.open(written)
    del record["labels"]
    replace_member(written, MANIFEST, json.dumps(record).encode())
    with pytest.raises(InputError, match="missing field 'labels'"):
        Bundle.open(written)


def test_missing_file_is_named(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", manifest(), files=FILES)
    (tmp_path / "b" / "card.md").unlink()
    with pytest.raises(InputError, match=r"file is missing\n  where: .*card\.md"):
        Bundle.open(tmp_path / "b")


def test_equal_content_gives_equal_archives(tmp_path: Path) -> None:
    for name in ("one.last", "two.last"):
        write_bundle(tmp_path / name, manifest(), files=dict(sorted(FILES.items(), reverse=name == "two.last")))
    assert (tmp_path / "one.last").read_bytes() == (tmp_path / "two.last").read_bytes()


def test_nothing_is_overwritten_without_force(written: Path) -> None:
    with pytest.raises(UsageError, match="--force"):
        write_bundle(written, manifest(), files=FILES)
    write_bundle(written, manifest(), files={**FILES, "card.md": b"new"}, force=True)
    assert Bundle.open(written).read("card.md") == b"new"


def test_unknown_precision_and_file_say_what_there_is(written: Path) -> None:
    with pytest.raises(InputError, match=r"no int8 graph(.|\n)*last-edge quantize"):
        Bundle.open(written).graph("int8")
    with pytest.raises(InputError, match=r"did you mean card\.md"):
        Bundle.open(written).read("cards.md")


def crafted(path: Path, name: str, *, mode: int = 0, content: bytes = b"x") -> Path:
    """A zip with one member that an honest writer would not make."""
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, content)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "why"),
    [
        ("../evil.onnx", 0, "leaves the archive"),
        ("a/../../evil", 0, "leaves the archive"),
        ("/etc/passwd", 0, "absolute"),
        ("C:evil", 0, "not a plain name"),
        ("a\\..\\evil", 0, "not a plain name"),
        ("folder/", stat.S_IFDIR | 0o755, "not a plain file"),
        ("model.fp32.onnx", stat.S_IFLNK | 0o777, "a link"),
    ],
)
def test_unsafe_members_are_refused(tmp_path: Path, name: str, mode: int, why: str) -> None:
    with pytest.raises(InputError, match=rf"refused: .*{why}(.|\n)*evil\.last") as caught:
        Bundle.open(crafted(tmp_path / "evil.last", name, mode=mode))
    assert caught.value.exit_code == 3
    assert not (tmp_path.parent / "evil.onnx").exists()


def test_absurd_sizes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.last"
    monkeypatch.setattr(archive_module, "LARGEST_TOTAL", 2**20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(2**20 + 1))
    assert path.stat().st_size < 2**12
    with pytest.raises(InputError, match="too large"):
        Bundle.open(path)
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(archive_module.MOST_MEMBERS + 1):
            archive.writestr(f"m{index}", b"")
    with pytest.raises(InputError, match="too many members"):
        Bundle.open(path)


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.last"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    with pytest.raises(InputError, match="the same name twice"):
        Bundle.open(path)


def test_an_unlisted_member_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b.last", manifest(), files=FILES)
    replace_member(tmp_path / "b.last", "extra.onnx", b"x")
    with pytest.raises(InputError, match=r"not in the manifest\n  where: .*extra\.onnx"):
        Bundle.open(tmp_path / "b.last")


def test_a_listed_name_may_not_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s")
    write_bundle(tmp_path / "b", manifest(), files=FILES)
    content = (tmp_path / "b" / MANIFEST).read_bytes().replace(b'"card.md"', b'"../secret"')
    (tmp_path / "b" / MANIFEST).write_bytes(content)
    with pytest.raises(InputError, match="leaves the archive"):
        Bundle.open(tmp_path / "b", verify_hashes=False)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(FILES["card.md"])
    write_bundle(tmp_path / "b", manifest(), files=FILES)
    (tmp_path / "b" / "card.md").unlink()
    (tmp_path / "b" / "card.md").symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="a link leads out"):
        Bundle.open(tmp_path / "b")


class Boom:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a pickle was loaded')",)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Boom()))
    with pytest.raises(InputError, match=r"not a bundle archive(.|\n)*model\.pt"):
        Bundle.open(tmp_path / "model.pt")
    buffer = io.BytesIO()
    np.savez(buffer, **{POINTS: np.array([Boom()], dtype=object)})
    write_bundle(tmp_path / "b", manifest(), files={**FILES, GOLDEN: buffer.getvalue()})
    with pytest.raises(InputError, match=r"golden tensors cannot be read(.|\n)*golden\.npz"):
        _ = Bundle.open(tmp_path / "b").golden


def test_golden_logits_have_a_column_a_label(tmp_path: Path) -> None:
    wide = Golden(golden().inputs, {"fp32": np.zeros((2, 4), np.float32)}).to_bytes()
    write_bundle(tmp_path / "b", manifest(), files={**FILES, GOLDEN: wide})
    with pytest.raises(InputError, match=r"do not fit the labels(.|\n)*golden\.npz(.|\n)*3 columns"):
        Bundle.open(tmp_path / "b")
    assert Bundle.open(tmp_path / "b", verify_hashes=False).golden.logits["fp32"].shape == (2, 4)


def test_damaged_archives_and_tensors_are_input_errors_wherever_the_byte_is(tmp_path: Path) -> None:
    path = tmp_path / "b.last"
    write_bundle(path, manifest(), files={**FILES, GOLDEN: b"tiny"})
    whole, tensors = path.read_bytes(), FILES[GOLDEN]
    for start in range(whole.index(b"PK\x01\x02"), len(whole)):
        for mask in (0x01, 0x80, 0xFF):
            path.write_bytes(whole[:start] + bytes([whole[start] ^ mask]) + whole[start + 1 :])
            with contextlib.suppress(InputError):
                archive_module.read_archive(path)
    for start in [*range(170), *range(tensors.index(b"PK\x01\x02"), len(tensors))]:
        with contextlib.suppress(InputError):
            Golden.from_bytes(tensors[:start] + bytes([tensors[start] ^ 0xFF]) + tensors[start + 1 :], where=GOLDEN)


def test_absent_and_empty_places_say_how_to_make_a_bundle(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(InputError, match="last-edge export"):
            Bundle.open(place)


def test_manifest_survives_the_records_round_trip() -> None:
    sealed = manifest().sealed()
    assert records.from_dict(Manifest, records.to_dict(sealed), where="test") == sealed


def test_reading_a_bundle_loads_numpy_alone() -> None:
    heavy = "('torch', 'onnx', 'onnxruntime', 'pyarrow')"
    code = f"import sys, last_edge.bundle; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_fields_that_came_later_leave_older_bundles_their_seal(tmp_path: Path) -> None:
    write_bundle(tmp_path / "old", manifest(), files=FILES)
    plain = json.loads((tmp_path / "old" / MANIFEST).read_text())
    assert not {"tuned", "engines"} & plain.keys()
    tuned = {"int8": {"threads": 2, "buffers": "reused"}}
    write_bundle(tmp_path / "new", dataclasses.replace(manifest(), tuned=tuned), files=FILES)
    assert Bundle.open(tmp_path / "new").manifest.tuned == tuned
    content = (tmp_path / "new" / MANIFEST).read_text().replace('"threads": 2', '"threads": 3')
    (tmp_path / "new" / MANIFEST).write_text(content)
    with pytest.raises(InputError, match="bytes have changed"):
        Bundle.open(tmp_path / "new")


@pytest.mark.parametrize("name", ["b", "b.last"])
def test_a_bundle_that_changed_since_it_was_opened_is_not_replaced(tmp_path: Path, name: str) -> None:
    write_bundle(tmp_path / name, manifest(), files=FILES)
    one, other = Bundle.open(tmp_path / name), Bundle.open(tmp_path / name)
    rewrite_bundle(one, one.manifest, files={"model.edge.bin": b"mine"})
    with pytest.raises(UsageError, match="changed meanwhile"):
        rewrite_bundle(other, other.manifest, files={})
    assert Bundle.open(tmp_path / name).read("model.edge.bin") == b"mine"
