"""Which hands a bundle was taught is said at its export and stands in manifest and card."""

from __future__ import annotations

from pathlib import Path

import pytest

from last_edge.bundle import Bundle
from last_edge.bundle.manifest import CARD
from last_edge.errors import UsageError
from last_edge.export.bundles.bundle_writer import export_run
from last_edge.export.onnx import onnx_graph


def test_a_bundle_says_which_hands_it_was_taught(
    run: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Bundle.open(exported)
    monkeypatch.setattr(onnx_graph, "to_onnx", lambda *_, **__: usual.graph("fp32"))
    assert usual.manifest.hands == "" and "Hands:" not in usual.read(CARD).decode()
    made = export_run(run, tmp_path / "left", hands="left", licence="mine")
    assert (made.known_hands, made.licence) == ("left", "mine")
    left = Bundle.open(tmp_path / "left")
    assert left.manifest.hands == "left" and "Hands: left." in left.read(CARD).decode()
    with pytest.raises(UsageError, match="no such hands"):
        export_run(run, tmp_path / "odd", hands="third")
