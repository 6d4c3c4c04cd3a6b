"""Where real data are looked for."""

from __future__ import annotations

from last_edge.tools.cli.doctor import ROOT, VARIABLE, data_roots, find_data


def test_the_variable_wins(tmp_path, monkeypatch):
    (tmp_path / "utd_mhad").mkdir()
    (tmp_path / "utd_mhad" / "Skeleton.zip").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert find_data("utd_mhad") == tmp_path / "utd_mhad" / "Skeleton.zip"
    assert find_data("shrec17") is None


def test_beside_the_repository_otherwise(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert data_roots() == (ROOT / "data", ROOT.parent / "shared" / "data")
    assert (ROOT / "pyproject.toml").is_file()
