"""`make results`: published figures beside those of the shipped bundles, each with its source; the page of all results.

Ours are read from manifests, which `last-edge verify BUNDLE --store STORE` proves; peers trained here from
docs/benchmarks/peers.json. Published figures are copied from the papers named, not measured.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from last_edge import records
from last_edge.bundle import Bundle
from last_edge.bundle.manifest import EVENT_FIGURES
from last_edge.bundle.zoo import zoo
from last_edge.errors import InputError
from last_edge.tools.bench.peers import PEERS, PeerRecord
from last_edge.tools.bench.record import load_records

PEERS_FILE = Path("docs/benchmarks/peers.json")
PEERS_PAGE, PEERS_AT = "[`bench peers`](../benchmarks/peers.md)", "_shrec14"
HEADER = ("who", "parameters", "top-1 %", "clips", "where from")
STREAM_HEADER = ("who", "found", "false", "Jaccard", "gestures", "where from")


@dataclass(frozen=True)
class Anchor:
    """A published figure. parameters: as stated, in words. top1: percent."""

    name: str
    parameters: str
    top1: float
    source: str


@dataclass(frozen=True)
class Benchmark:
    """A data set and task with its anchors. ending: of the names of bundles for it."""

    title: str
    ending: str
    anchors: tuple[Anchor, ...]


@dataclass(frozen=True)
class StreamAnchor:
    """Published figures of a contest of recordings: shares from 0 to 1, or what spans those of several."""

    name: str
    detection: float | str
    wrong: float | str
    jaccard: float | str
    source: str


SHREC14 = (
    Anchor("DSTSA-GCN", "1.99 M", 97.74, "the paper of DSTSA-GCN"),
    Anchor("DSTA-Net", "14 M", 97.0, "Shi et al. 2020"),
    Anchor("DD-Net, 64 filters", "1.82 M", 94.6, "Yang et al. 2019"),
    Anchor("ST-GCN", "3.1 M", 92.7, "Yan et al. 2018, as quoted for SHREC'17"),
    Anchor("DD-Net, 16 filters", "0.15 M", 91.8, "Yang et al. 2019"),
)
SHREC28 = (
    Anchor("DSTA-Net", "14 M", 93.9, "Shi et al. 2020"),
    Anchor("DD-Net, 64 filters", "1.82 M", 91.9, "Yang et al. 2019"),
    Anchor("DD-Net, 16 filters", "0.15 M", 90.0, "Yang et al. 2019"),
    Anchor("ST-GCN", "3.1 M", 87.7, "Yan et al. 2018, as quoted for SHREC'17"),
)
SHREC21 = (
    StreamAnchor("2ST-GCN with 5 features, the contest's best", 0.90, 0.07, 0.85, "Caputo et al. 2021, as quoted"),
    StreamAnchor("its other three", "0.73 to 0.80", "0.22 to 0.33", "0.59 to 0.62", "Caputo et al. 2021, as quoted"),
)
UTD27 = (
    Anchor("JDM", "–", 88.1, "Li et al. 2017, as quoted for UTD-MHAD"),
    Anchor("SOS", "–", 87.0, "Hou et al. 2016, as quoted for UTD-MHAD"),
    Anchor("Cov3DJ", "–", 85.6, "Hussein et al. 2013, as quoted for UTD-MHAD"),
)
BENCHMARKS = (
    Benchmark("SHREC'17, 14 gestures, official split: 840 clips of 8 people", "_shrec14", SHREC14),
    Benchmark("SHREC'17, 28 gestures, official split", "_shrec28", SHREC28),
    Benchmark("UTD-MHAD, 27 actions, even people test: 430 clips", "_utd27", UTD27),
)


def page() -> str:
    """The whole page."""
    lines = [
        "# What is known, beside ours", "",
        "Made by `make results` from the manifests of the shipped bundles; `make verify-zoo` measures them again.",
        "Published figures are copied, not measured: the split is the same, windows and training are their own.",
        "No figure of NTU RGB+D is ours: we do not have the data set.", "",
    ]  # fmt: skip
    for benchmark in BENCHMARKS:
        rows = sorted(_rows(benchmark), key=lambda row: -float(row[2]))
        rows += _untrained() if benchmark.ending == PEERS_AT else []
        lines += [f"## {benchmark.title}", "", *records.markdown_table(HEADER, rows), ""]
    lines += [
        "## SHREC 2021, 17 gestures in 72 test recordings", "",
        "The Jaccard index is that of the contest's table, which counts gestures (`jaccard_counts`); the mean overlap",
        "of spans is in each bundle's card. What the contest's table calls false is false and misclassified.", "",
        *records.markdown_table(STREAM_HEADER, _stream_rows()), "",
    ]  # fmt: skip
    lines += ["Each result in full: [all pages](README.md).", ""]
    return "\n".join(lines)


def _rows(benchmark: Benchmark) -> Iterator[tuple[str, ...]]:
    for anchor in benchmark.anchors:
        yield anchor.name, anchor.parameters, f"{anchor.top1:g}", "", anchor.source
    for name, path in zoo().items():
        if name.endswith(benchmark.ending):
            manifest = Bundle.open(path).manifest
            for precision, figures in manifest.metrics.items():
                count = f"{figures['n']} {figures['split']}"
                size, top1 = f"{manifest.model.params / 1e6:.3f} M", f"{figures['top1']}"
                yield f"**{name} {precision.upper()}**", size, top1, count, f"`last-edge verify {name} --store STORE`"
    if benchmark.ending == PEERS_AT:
        for peer in _peers():
            where = f"trained here, {peer.epochs} epochs: {PEERS_PAGE}"
            yield peer.title, f"{peer.params / 1e6:.3f} M", f"{peer.top1}", f"{peer.n} test", where


def _stream_rows() -> Iterator[tuple[str, ...]]:
    for anchor in SHREC21:
        yield anchor.name, f"{anchor.detection}", f"{anchor.wrong}", f"{anchor.jaccard}", "", anchor.source
    for name, path in zoo().items():
        metrics = Bundle.open(path).manifest.metrics if name.endswith("_shrec21") else {}
        for precision, figures in metrics.items():
            shares = [f"{figures[part]}" for part in EVENT_FIGURES if part not in ("gestures", "jaccard")]
            count = f"{figures['gestures']} {figures['split']}"
            yield f"**{name} {precision.upper()}**", *shares, count, f"`last-edge verify {name} --store STORE`"


def _peers() -> list[PeerRecord]:
    return load_records(PEERS_FILE, PeerRecord) if PEERS_FILE.is_file() else []


def _untrained() -> list[tuple[str, ...]]:
    """Peers that are written and timed, but were not trained here."""
    trained = {peer.name for peer in _peers()}
    return [(title, "", "not trained", "", PEERS_PAGE) for name, (title, _) in PEERS.items() if name not in trained]


def stated(readme: str) -> dict[str, dict[str, float]]:
    """What a table of a page states: precision -> top-1 by the bundle that a row names in backticks.

    The table's header names its columns FP32, INT8. `InputError` where no table does.
    """
    found: dict[str, dict[str, float]] = {}
    columns: list[str] = []
    for text in readme.splitlines():
        cells = [cell.strip() for cell in text.strip().strip("|").split("|")]
        if "FP32" in cells and "INT8" in cells:
            columns = [cell.lower() for cell in cells]
        elif not text.startswith("|"):
            columns = []
        elif columns and "`" in cells[0]:
            name = cells[0].split("`")[1]
            found[name] = {key: float(cells[columns.index(key)]) for key in ("fp32", "int8")}
    if not found:
        raise InputError("no table names bundles with FP32 and INT8 beside them", where="README.md")
    return found


if __name__ == "__main__":
    sys.stdout.write(page())
