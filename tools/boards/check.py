"""`make board-check`: the same answers on emulated boards as on this machine, and a page of what was found.

python -m last_edge.tools.boards.check --store runs/shrec14/store --clip clip.mp4 --clip other.mp4
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
MOST_CLIPS, MOST_FRAMES = 120, 32
"""Of a store and of a video: an emulated board takes seconds for what a real one does in milliseconds."""
PRECISIONS = ("fp32", "int8")
MOST_OTHER = {"fp32": 0, "int8": 2}
"""Clips that may be answered otherwise than here."""
MOST_APART_S, MOST_APART = 0.1, 0.05
"""Events: seconds of begin and end, and probability."""
ANSWER = "last_edge.tools.boards.answer"
Commands = Sequence[Sequence[str]]
Cli = Callable[[Commands], list[str]]
"""Several commands of `last-edge` to what each wrote to stdout."""


@dataclass
class Answers:
    """What one machine answered.

    checks: of `verify` that fail (without torch it makes one less). right: clips by bundle and precision. events: of
    each clip, by bundle and the clip's name.
    """

    checks: dict[str, int] = field(default_factory=dict)
    right: dict[str, dict[str, int]] = field(default_factory=dict)
    events: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
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
            for clip, events in self.events.get(name, {}).items():
                found[name, f"events of {clip}"] = shown(events)
            found[name, "files of `web --export`"] = str(self.sites[name])
            for precision, peak in self.memory_mb.get(name, {}).items():
                found[name, f"peak MB, {precision}"] = f"{peak:.0f}"
        return found


def ask(
    cli: Cli, bundles: dict[str, str], stores: dict[str, str], *, clips: dict[str, str], run: Sequence[str],
    frames: int, scratch: str,
) -> Answers:  # fmt: skip
    """Every question to one machine.

    bundles, clips: path there by name. stores: a store's path there by a bundle's name. run: names of bundles that are
    weighed and run on the clips, on at most so many frames of each.
    """
    found = Answers()
    groups = ("Processor", "Packages", "Backends")
    for check in json.loads(cli([["doctor", "--json"]])[0])["checks"]:
        if check["group"] in groups and check["ok"]:
            found.doctor[check["name"]] = check["found"]
    for name, path in bundles.items():
        precisions = PRECISIONS if name in stores else ()
        videos = clips if name in run else {}
        how = ["--landmarks-by", "litert", "--limit", str(frames), "--no-window", "--quiet", "--events", "-"]
        weighed = [["bench", path, "--repeats", "1", "--calls", "3", "--json"]] if name in run else []
        verify, web, *answers = cli([
            ["verify", path, "--json"],
            ["web", path, "--export", f"{scratch}/{name}", "--force", "--json"],
            *weighed,
            *(["eval", path, "--store", stores[name], "--precision", each, "--json"] for each in precisions),
            *(["run", path, "--source", video, *how] for video in videos.values()),
        ])  # fmt: skip
        found.checks[name] = sum(not row["holds"] for row in json.loads(verify)["rows"])
        for rows in map(json.loads, answers[: len(weighed)]):
            found.memory_mb[name] = {row["precision"]: row["rss_mb"] for row in rows}
        answers = answers[len(weighed) :]
        files = json.loads(web)["files"]
        found.sites[name] = files if isinstance(files, int) else len(files)
        figures = dict(zip(precisions, map(json.loads, answers), strict=False))
        found.right[name] = {each: round(row["top1"] * row["n"] / 100) for each, row in figures.items()}
        lines = [answer.splitlines() for answer in answers[len(precisions) :]]
        found.events[name] = {clip: list(map(json.loads, each)) for clip, each in zip(videos, lines, strict=True)}
    return found


def differences(here: Answers, there: Answers) -> list[str]:
    """In which answers a board differs by more than it may."""
    unlike = [f"{name}: {there.checks.get(name)} checks fail, here {count}" for name, count in here.checks.items()
            if there.checks.get(name) != count]  # fmt: skip
    for name, right in here.right.items():
        for precision, count in right.items():
            if abs(there.right[name][precision] - count) > MOST_OTHER[precision]:
                unlike.append(f"{name}, {precision}: {there.right[name][precision]} clips right, here {count}")
    for name, clips in here.events.items():
        for clip, events in clips.items():
            if not same_events(events, there.events[name][clip]):
                unlike.append(f"{name}, {clip}: events {shown(there.events[name][clip])}, here {shown(events)}")
    return unlike


def same_events(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> bool:
    """Whether two machines saw the same gestures at the same moments, about as surely."""
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
    """The first store that fits each bundle of clips, by layout and labels."""
    found: dict[str, Path] = {}
    for name, path in bundles.items():
        manifest = Bundle.open(path, verify_hashes=False).manifest
        for store in map(ClipStore.open, () if manifest.stream else stores):
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
        "are those of a board's instructions; its speed is not. `make board-check` writes this page.\n",
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
    for board, unlike in found.items():
        parts.append(f"{board} ({PROCESSORS[board]}): " + ("; ".join(unlike) if unlike else "the same answers") + ".\n")
    return "\n".join(parts)


def here_cli(commands: Commands) -> list[str]:
    """Commands on this machine; `GateError` where one fails."""
    command = [sys.executable, "-m", ANSWER, json.dumps(commands)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GateError("a command fails here", got=done.stderr.strip()[-300:])
    return list(json.loads(done.stdout))


def remembered(cli: Cli, folder: Path, *, about: str) -> Cli:
    """The same, which keeps each answer in a folder, so that a check that was interrupted goes on where it was.

    about: whatever the answers depend on besides the commands.
    """

    def answer(commands: Commands) -> list[str]:
        key = hashlib.sha256(json.dumps([about, commands]).encode()).hexdigest()
        kept = folder / f"{key}.json"
        if not kept.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_text(kept, json.dumps(cli(commands)))
        return list(json.loads(kept.read_text()))

    return answer


@dataclass(frozen=True)
class Question:
    """What the machines are asked about.

    bundles: by name. stores: the first that fits a bundle is evaluated on, `most` of its test clips. clips: videos that
    one bundle of each layout runs on, at most `frames` of each.
    """

    bundles: dict[str, Path]
    stores: Sequence[Path]
    clips: Sequence[Path]
    most: int
    frames: int

    @property
    def runs(self) -> tuple[str, ...]:
        """Bundles that are weighed and run on the videos, which takes most of the time: the first of each layout."""
        layouts = {name: Bundle.open(path).manifest.input.layout.name for name, path in self.bundles.items()}
        return tuple({layout: name for name, layout in reversed(layouts.items())}.values())

    def answers(self, cli: Cli, place: Callable[[Path, str], str], *, scratch: str) -> Answers:
        """Of one machine; `place` brings a file or folder there under a name and gives its path there."""
        bundles = {name: place(path, f"zoo/{path.name}") for name, path in self.bundles.items()}
        clips = {clip.stem: place(clip, clip.name) for clip in self.clips}
        stores = dict[str, str]()
        with tempfile.TemporaryDirectory() as folder:
            for name, store in stores_of(self.bundles, self.stores).items():
                part = Path(folder, f"{store.parent.name}-{store.name}")
                if not part.exists():
                    some_clips(ClipStore.open(store), part, self.most)
                stores[name] = place(part, f"stores/{self.most}-{part.name}")
        return ask(cli, bundles, stores, clips=clips, run=self.runs, frames=self.frames, scratch=scratch)


def check(root: Root, question: Question, *, boards: Sequence[str], out: Path) -> list[str]:
    """Build, install, ask this machine and, side by side, the boards; write the page; the differences found."""
    root.build()
    say = sys.stderr.write
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build_wheel(Path(), Path(scratch))
        say("installing into the root\n")
        version = root.install(wheel)
        say("asking this machine\n")

        def here(path: Path, name: str) -> str:
            target = Path(scratch, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            return str(shutil.copytree(path, target, dirs_exist_ok=True) if path.is_dir() else path)

        answers_here = question.answers(here_cli, here, scratch=f"{scratch}/sites")
        root.put(cache_folder(), "cache")

        def asked(board: str) -> Answers:
            def there(commands: Commands) -> list[str]:
                return list(json.loads(root.run(board, [f"{VENV}/bin/python", "-m", ANSWER, json.dumps(commands)])))

            kept = remembered(there, root.path.with_name(f"{root.path.name}-answers"), about=f"{board} {version}")
            return question.answers(kept, lambda path, name: root.put(path, f"{board}/{name}"), scratch=f"/tmp/{board}")

        say(f"asking {', '.join(boards)}\n")
        with ThreadPoolExecutor() as pool:
            found = dict(zip(boards, pool.map(asked, boards), strict=True))
        emulator = subprocess.run(["qemu-aarch64-static", "--version"], capture_output=True, text=True, check=True)
        about = {
            "installed": f"{wheel.name}[{EXTRA}]",
            "size of what was installed": f"{root.size_of_install() / 1e6:.0f} MB",
            "videos": ", ".join(clip.name for clip in question.clips) or "none",
            "frames of each video, at most": str(question.frames),
            "test clips of each store": str(question.most),
            "emulator": emulator.stdout.splitlines()[0],
        }
        write_text(out, page(answers_here, found, about=about))
    return [f"{board}: {text}" for board, answers in found.items() for text in differences(answers_here, answers)]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("runs/boards/arm64"), help="where the system is or goes")
    parser.add_argument("--store", type=Path, action="append", default=[], help="to evaluate on; repeatable")
    parser.add_argument("--clip", type=Path, action="append", default=[], help="a short video to run on; repeatable")
    parser.add_argument("--frames", type=int, default=MOST_FRAMES, help="of each video, at most")
    parser.add_argument("--most", type=int, default=MOST_CLIPS, help="test clips of each store")
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
        question = Question(bundles, options.store, options.clip, options.most, options.frames)
        unlike = check(root, question, boards=boards, out=options.out)
        if unlike:
            raise GateError("a board answers otherwise", got="\n".join(unlike))
    except LastEdgeError as error:
        sys.stderr.write(f"error: {error.render()}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
