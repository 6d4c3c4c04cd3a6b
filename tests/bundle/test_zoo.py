"""A name of the zoo stands for a bundle's path, in programs and on the command line alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.zoo import find_bundle, zoo
from last_edge.errors import InputError

MakeBundle = Callable[..., Path]
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that is no checkout."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("LAST_EDGE_ZOO", raising=False)
    return folder


def test_the_checkouts_bundles_have_names_wherever_one_is(elsewhere: Path) -> None:
    names = sorted(path.name for path in (CHECKOUT / "zoo").iterdir())
    assert [name for name in zoo() if name in names] == names
    for name in names:
        assert find_bundle(name) == find_bundle(f"zoo/{name}") == CHECKOUT / "zoo" / name


def test_a_folder_of_ones_own_wins_and_may_hold_archives(
    make_bundle: MakeBundle, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    make_bundle().rename(own / "last_lite_nano_shrec14")
    (own / "signs.last").write_bytes(b"an archive, which is not opened here")
    (own / "notes").mkdir()
    monkeypatch.setenv("LAST_EDGE_ZOO", str(own))
    assert find_bundle("last_lite_nano_shrec14") == own / "last_lite_nano_shrec14"
    assert find_bundle("signs") == find_bundle("signs.last") == own / "signs.last"
    assert "notes" not in zoo()


def test_a_path_that_is_there_is_never_a_name(elsewhere: Path) -> None:
    Path("last_lite_nano_shrec14").mkdir()
    assert find_bundle("last_lite_nano_shrec14") == Path("last_lite_nano_shrec14")


def test_an_unknown_name_is_answered_with_the_nearest_when_it_is_opened(elsewhere: Path) -> None:
    assert find_bundle("last_lite_nano_shrek14") == Path("last_lite_nano_shrek14")
    with pytest.raises(InputError, match="no bundle here") as caught:
        Bundle.open(find_bundle("last_lite_nano_shrek14"))
    assert caught.value.expected is not None and "did you mean last_lite_nano_shrec14" in caught.value.expected
    with pytest.raises(InputError, match="no bundle here") as caught:
        Bundle.open(find_bundle("runs/nothing/bundle"))
    assert caught.value.expected is None
