"""`make board-check`: the same answers on emulated boards as on this machine, and a page of what was found.

python -m last_edge.tools.boards.check --store runs/shrec14/store --clip clip.mp4
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from last_edge.bundle import Bundle
from last_edge.bundle.zoo import zoo
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points, labelled_as
from last_edge.clips.writer import writing_store
from last_edge.errors import GateError, LastEdgeError
from last_edge.files import cache_folder, write_text
from last_edge.tools.bench.install_size import build_wheel
from last_edge.tools.boards.root import EXTRA, PROCESSORS, VENV, Root, missing
from last_edge.tools.output import markdown

HERE = "this machine"
CLIPS = 120
"""Test clips that are measured: an emulated board takes seconds for what a real one does in milliseconds."""
PRECISIONS = ("fp32", "int8")
MOST_OTHER = {"fp32": 0, "int8": 2}
"""Clips that may be answered otherwise than here."""
MOST_APART_S, MOST_APART = 0.1, 0.05
"""Events: seconds of begin and end, and probability."""
DETECTORS = ("hand", "pose")
Cli = Callable[[Sequence[str]], str]


@dataclass
class Answers:
    """What one machine answered.

    checks: of `verify` that fail (without torch it makes one less). right: clips by bundle and precision. events: of
    the clip, by bundle.
    """

    checks: dict[str, int] = field(default_factory=dict)
    right: dict[str, dict[str, int]] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    sites: dict[str, int] = field(default_factory=dict)
    memory_mb: dict[str, dict[str, float]] = field(default_factory=dict)
    doctor: dict[str, str] = field(default_factory=dict)

    def rows(self) -> dict[tuple[str, str], str]:
        """Every answer by bundle and question, as the page shows it."""
        found: dict[tuple[str, str], str] = {}
        for name, holds in self.checks.items():
            found[name, "checks of `verify` that fail"] = str(holds)
            for precision, right in self.right.get(name, {}).items():
                found[name, f"clips right, {precision}"] = str(right)
            if name in self.events:
                found[name, "events of the clip"] = shown(self.events[name])
            found[name, "files of `web --export`"] = str(self.sites[name])
            for precision, peak in self.memory_mb[name].items():
                found[name, f"peak MB, {precision}"] = f"{peak:.0f}"
        return found


def ask(cli: Cli, bundles: dict[str, str], stores: dict[str, str], *, clip: str | None, scratch: str) -> Answers:
    """Every question to one machine. bundles: path there by name; stores: a store's path there by a bundle's name."""
    found = Answers()
    groups = ("Processor", "Packages", "Backends")
    for check in json.loads(cli(["doctor", "--json"]))["checks"]:
        if check["group"] in groups and check["ok"]:
            found.doctor[check["name"]] = check["found"]
    for name, path in bundles.items():
        rows = json.loads(cli(["verify", path, "--json"]))["rows"]
        found.checks[name] = sum(not row["holds"] for row in rows)
        if name in stores:
            found.right[name] = {}
            for precision in PRECISIONS:
                figures = json.loads(cli(["eval", path, "--store", stores[name], "--precision", precision, "--json"]))
                found.right[name][precision] = round(figures["top1"] * figures["n"] / 100)
        rows = json.loads(cli(["bench", path, "--repeats", "1", "--calls", "3", "--json"]))
        found.memory_mb[name] = {row["precision"]: row["rss_mb"] for row in rows}
        if clip is not None:
            how = ["--landmarks-by", "litert", "--no-window", "--quiet", "--events", "-"]
            found.events[name] = list(map(json.loads, cli(["run", path, "--source", clip, *how]).splitlines()))
        site = json.loads(cli(["web", path, "--export", f"{scratch}/{name}", "--force", "--json"]))
        found.sites[name] = site["files"] if isinstance(site["files"], int) else len(site["files"])
    return found


def differences(here: Answers, there: Answers) -> list[str]:
    """In which answers a board differs by more than it may."""
    told = [f"{name}: {there.checks.get(name)} checks fail, here {count}" for name, count in here.checks.items()
            if there.checks.get(name) != count]  # fmt: skip
    for name, right in here.right.items():
        for precision, count in right.items():
            if abs(there.right[name][precision] - count) > MOST_OTHER[precision]:
                told.append(f"{name}, {precision}: {there.right[name][precision]} clips right, here {count}")
    for name, events in here.events.items():
        if not same_events(events, there.events[name]):
            told.append(f"{name}: events {shown(there.events[name])}, here {shown(events)}")
    return told


def same_events(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> bool:
    """Whether two machines told the same gestures at the same moments, about as surely."""
    return len(one) == len(other) and all(
        first["label"] == second["label"]
        and all(abs(first[side] - second[side]) <= MOST_APART_S for side in ("start_s", "end_s"))
        and abs(first["score"] - second["score"]) <= MOST_APART
        for first, second in zip(one, other, strict=True)
    )


def shown(events: Sequence[dict[str, Any]]) -> str:
    """Events in one line."""
    return "; ".join(f"{event['label']} {event['end_s']:.1f} s {event['score']:.0%}" for event in events) or "none"


def some_clips(store: ClipStore, out: Path, count: int) -> None:
    """At most `count` test clips, evenly over the store, as a store of their own."""
    tests = [number for number, split in enumerate(store.index.split.tolist()) if split == "test"]
    chosen = tests[:: max(1, len(tests) // count)][:count]
    with writing_store(out, layout=store.layout, units=store.units, labels=store.labels, about=store.about) as writer:
        for number in chosen:
            writer.add(store.clip(number))


def stores_of(bundles: dict[str, Path], stores: Sequence[Path]) -> dict[str, Path]:
    """The first store that fits each bundle, by layout and labels."""
    found: dict[str, Path] = {}
    for name, path in bundles.items():
        manifest = Bundle.open(path, verify_hashes=False).manifest
        for store in map(ClipStore.open, stores):
            try:
                check_points(store, manifest.input)
                labelled_as(store, manifest.labels, "test")
            except LastEdgeError:
                continue
            if set(store.labels) <= set(manifest.labels):
                found.setdefault(name, store.path)
    return found


def page(here: Answers, boards: dict[str, Answers], *, about: dict[str, str]) -> str:
    """docs/results/boards.md: versions, answers, memory and size; no speeds, which an emulator cannot give."""
    machines = {HERE: here, **boards}
    parts = [
        "# Boards, emulated\n",
        "The wheel with `[runtime-lite]` in an arm64 Debian under QEMU's user emulation, without a network. Answers\n"
        "are those of a board's instructions; its speeds cannot be told so. `make board-check` writes this page.\n",
        markdown({"": list(about), " ": list(about.values())}),
    ]
    names = sorted({name for answers in machines.values() for name in answers.doctor})
    rows = {"": names, **{machine: [answers.doctor.get(name, "") for name in names]
                          for machine, answers in machines.items()}}  # fmt: skip
    parts += ["## What doctor says\n", markdown(rows), "## Answers\n"]
    asked = here.rows()
    columns: dict[str, list[Any]] = {"bundle": [name for name, _ in asked], "question": [text for _, text in asked]}
    for machine, answers in machines.items():
        given = answers.rows()
        columns[machine] = [given.get(question, "") for question in asked]
    parts += [markdown(columns), "Peak memory on the boards holds the emulator's own, about as much again.\n"]
    found = {board: differences(here, answers) for board, answers in boards.items()}
    for board, told in found.items():
        parts.append(f"{board} ({PROCESSORS[board]}): " + ("; ".join(told) if told else "the same answers") + ".\n")
    return "\n".join(parts)


def here_cli(arguments: Sequence[str]) -> str:
    """A command on this machine; `GateError` where it fails."""
    command = [sys.executable, "-m", "last_edge.tools.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GateError("a command fails here", where=" ".join(arguments), got=done.stderr.strip()[-300:])
    return done.stdout


def check(
    root: Root, *, bundles: dict[str, Path], stores: Sequence[Path], clips: int, clip: Path | None,
    boards: Sequence[str], out: Path,
) -> list[str]:  # fmt: skip
    """Build, install, ask all machines, write the page; the differences found. clips: of each store."""
    root.build()
    say = sys.stderr.write
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build_wheel(Path(), Path(scratch))
        say("installing into the root\n")
        root.install(wheel)
        paths_here = {name: str(path) for name, path in bundles.items()}
        paths_there = {name: root.put(path, f"zoo/{path.name}") for name, path in bundles.items()}
        stores_here, stores_there = dict[str, str](), dict[str, str]()
        for name, store in stores_of(bundles, stores).items():
            part = Path(scratch, f"store-{store.parent.name}-{store.name}")
            if not part.exists():
                some_clips(ClipStore.open(store), part, clips)
            stores_here[name], stores_there[name] = str(part), root.put(part, part.name)
        clip_there = None if clip is None else root.put(clip, clip.name)
        say("asking this machine\n")
        clip_here = None if clip is None else str(clip)
        here = ask(here_cli, paths_here, stores_here, clip=clip_here, scratch=f"{scratch}/sites")
        root.put(cache_folder(), "cache")
        found: dict[str, Answers] = {}
        for board in boards:
            say(f"asking {board}\n")

            def there_cli(arguments: Sequence[str], board: str = board) -> str:
                return root.run(board, [f"{VENV}/bin/last-edge", *arguments])

            found[board] = ask(there_cli, paths_there, stores_there, clip=clip_there, scratch="/tmp/sites")
        about = {
            "installed": f"{wheel.name}[{EXTRA}]",
            "size of what was installed": f"{root.size_of_install() / 1e6:.0f} MB",
            "clip": "none" if clip is None else clip.name,
            "clips of each store": str(clips),
            "emulator": subprocess.run(["qemu-aarch64-static", "--version"], capture_output=True, text=True,
                                       check=True).stdout.splitlines()[0],
        }  # fmt: skip
        write_text(out, page(here, found, about=about))
    return [f"{board}: {text}" for board, answers in found.items() for text in differences(here, answers)]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("runs/boards/arm64"), help="where the system is or goes")
    parser.add_argument("--store", type=Path, action="append", default=[], help="to evaluate on; repeatable")
    parser.add_argument("--clip", type=Path, help="a short video to run on")
    parser.add_argument("--clips", type=int, default=CLIPS, help="of each store's test split, at most")
    parser.add_argument("--bundle", action="append", help="of the zoo; repeatable; default: all")
    parser.add_argument("--board", action="append", choices=list(PROCESSORS), help="repeatable; default: all")
    parser.add_argument("--out", type=Path, default=Path("docs/results/boards.md"), help="the page")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done and what is missing")
    options = parser.parse_args()
    root, boards = Root(options.root.resolve()), options.board or list(PROCESSORS)
    bundles = {name: path for name, path in zoo().items() if not options.bundle or name in options.bundle}
    if options.dry_run:
        lines = [" ".join(command) for command in root.build_commands()]
        lines += [f"install last-edge[{EXTRA}] in {root.path}{VENV}"]
        questions = ("doctor", "verify", "eval", "bench", "run", "web --export")
        lines += [f"{board}: {', '.join(questions)} of {', '.join(bundles)}" for board in boards]
        lines += [f"write {options.out}", *(f"missing here: {text}" for text in missing())]
        sys.stdout.write("\n".join(lines) + "\n")
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        told = check(
            root, bundles=bundles, stores=options.store, clips=options.clips, clip=options.clip, boards=boards,
            out=options.out,
        )  # fmt: skip
        if told:
            raise GateError("a board answers otherwise", got="\n".join(told))
    except LastEdgeError as error:
        sys.stderr.write(f"error: {error.render()}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
