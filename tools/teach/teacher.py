"""`Teacher`: takes, measuring, training and bundle, one after the other, each kept where it was done before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from last_edge import records
from last_edge.bundle import Bundle
from last_edge.bundle.manifest import MANIFEST, Manifest
from last_edge.clips.store import HEADER, ClipStore
from last_edge.errors import UsageError
from last_edge.files import locked, write_text
from last_edge.names import is_background
from last_edge.runtime.record.options import RecordOptions, counts_of
from last_edge.runtime.record.session import record
from last_edge.runtime.sources import ImageOptions
from last_edge.runtime.view.window import has_screen
from last_edge.skeleton import SkeletonClip
from last_edge.tools.teach.options import LAYOUTS, State, TeachOptions

if TYPE_CHECKING:
    from last_edge.tasks.config import Recipe
    from last_edge.tools.teach.figures import Figures, Taught
    from last_edge.tools.teach.takes import Taken

RECORDED, TAKES, LESSON, FOLDS, RUN, BUNDLE, REPORT = (
    "recorded", "takes", "lesson", "folds", "run", "bundle", "report.md"
)  # fmt: skip
Tell = Callable[[str], None]


class Teacher:
    """Teaches gestures to a bundle in a folder. Each step keeps what it did there; asked again it is not done again.

    labels: the gestures; of files none takes all that there are, or those of the call before. options: of the call
    before, where None. tell: called with what is being done.
    """

    def __init__(
        self,
        folder: str | Path,
        labels: Sequence[str] = (),
        *,
        options: TeachOptions | None = None,
        tell: Tell = lambda text: None,
    ) -> None:
        self.folder, self._tell = Path(folder), tell
        self.state = State(self.folder)
        before = dict(self.state.options)
        known = tuple(before.pop("labels", ()))
        self.labels = tuple(dict.fromkeys(labels)) or known
        self.options = options or records.from_dict(TeachOptions, before, where=self.state.path)
        self.state.options = {"labels": list(self.labels), **asdict(self.options)}
        self._measured: Figures | None = None
        self._told: set[str] = set()
        self.workers = self.options.workers or os.cpu_count() or 1

    def takes(self) -> Taken:
        """Record, or read, the takes; trim and check them."""
        from last_edge.tools.teach.takes import Taken, gather

        raw = list(self._raw())
        points = (sha256(clip.coords.tobytes()).hexdigest() for clip in raw)
        told = [(clip.source_id, clip.label, clip.subject, key) for clip, key in zip(raw, points, strict=True)]
        key = _key(self.labels, told)
        about = {"dataset": "takes", "title": "takes of gestures", "licence": self.options.licence}
        made, new = self.state.once(
            "takes", key, self.folder / TAKES / HEADER,
            lambda: asdict(gather(raw, self.folder / TAKES, labels=self.labels, about=about)),
        )  # fmt: skip
        taken = Taken(**made)
        per = ", ".join(f"{label} {sum(own.values())}" for label, own in taken.counts.items())
        self._tell(f"takes: {per}{'' if new else ' (as before)'}")
        return taken

    def _raw(self) -> Iterator[SkeletonClip]:
        from last_edge.tools.teach.takes import from_store, from_takes, from_videos

        options, layout = self.options, LAYOUTS[self.options.detector]
        if options.videos:
            return from_videos(
                Path(options.videos), self.folder / "videos", layout=layout, folders=options.folders,
                labels=self.labels, processes=self.workers, progress=self._tell,
            )  # fmt: skip
        if options.store:
            return from_store(Path(options.store))
        if options.takes:
            place = Path(options.takes)
            return from_store(place) if (place / HEADER).is_file() else from_takes(place)
        self._record()
        return from_store(self.folder / RECORDED)

    def _record(self) -> None:
        """Record what is missing of each gesture."""
        place, options = self.folder / RECORDED, self.options
        if not self.labels:
            raise UsageError("which gestures?", expected="labels", hint=f"last-edge teach {self.folder} wave fist")
        there = counts_of(ClipStore.open(place)) if (place / HEADER).is_file() else {}
        have = {label: sum(there.get(label, {}).values()) for label in self.labels}
        for missing in sorted({options.count - count for count in have.values() if count < options.count}):
            labels = tuple(label for label, count in have.items() if options.count - count == missing)
            self._tell(f"record {missing} takes each of {', '.join(labels)}")
            record(place, options.source, on_notice=self._tell, options=RecordOptions(
                labels=labels, subject=options.subject, count=missing, detector=options.detector,  # type: ignore[arg-type]
                hand=options.hand, window=has_screen(), images=ImageOptions(),
            ))  # fmt: skip

    def lesson(self) -> ClipStore:
        """The takes as the base takes them, with clips of other motions beside them."""
        from last_edge.tools.teach.basis import background_counts, fitted_clips, write_lesson

        store = ClipStore.open(self.folder / TAKES)
        base = self.base()
        place, key = self.folder / LESSON, _key(store.sha256, str(base), self.options.hand)

        def make() -> dict[str, str]:
            clips, hand = fitted_clips(store, base, hand=self.options.hand)
            count, signing = background_counts(clips, base)
            write_lesson(clips, place, labels=store.labels, licence=self.options.licence, count=count, signing=signing)
            return {"hand": hand}

        made, _ = self.state.once("lesson", key, place / HEADER, make)
        if made["hand"] == "left":
            self._tell("the takes show a left hand and are mirrored: the base knows right hands")
        return ClipStore.open(place)

    def base(self) -> Path | None:
        """What the teaching starts from; None for nothing."""
        from last_edge.tools.teach.basis import base_for

        return base_for(ClipStore.open(self.folder / TAKES).layout, self.options.base)

    def measure(self) -> Figures:
        """What to expect: every person, or every block of takes, left out once."""
        from last_edge.tools.teach.basis import shows_nothing
        from last_edge.tools.teach.figures import Figures, figures_of
        from last_edge.tools.teach.folds import leave_each_out

        store, recipe = self.lesson(), self._recipe()
        key = _key(store.sha256, recipe)
        place = self.folder / FOLDS / key[:12]
        given = ClipStore.open(self.folder / TAKES).labels

        def make() -> dict[str, Any]:
            for other in (self.folder / FOLDS).glob("*"):
                if other != place:
                    shutil.rmtree(other, ignore_errors=True)
            self._tell(f"measuring: takes are left out in turn, {self.workers} trainings at a time")
            held = leave_each_out(
                store, recipe, place, background=shows_nothing(store), hands=self._hands(), workers=self.workers,
                progress=lambda done, of: self._tell(f"measuring: {done} of {of}"),
            )  # fmt: skip
            return asdict(figures_of(held, store, given=given))

        made, new = self.state.once("measure", key, place, make)
        figures = records.from_dict(Figures, made, where=self.state.path)
        self._once("" if new else "measured before: ", figures.sentence())
        if said := figures.stream_sentence():
            self._once("", said)
        return figures

    def train(self, report: Callable[[Mapping[str, float], int], None] = lambda row, epochs: None) -> Path:
        """Teach all takes to one model; the run's folder."""
        from last_edge.train.request import Request
        from last_edge.train.run import run_training

        store, recipe, place = self.lesson(), self._recipe(), self.folder / RUN
        key = _key(store.sha256, recipe)
        begun = self.state.result("begun", key) is not None

        def make() -> dict[str, Any]:
            self.state.once("begun", key, self.folder, lambda: True)
            self._tell("training on all takes")
            request = Request(recipe, store.path, place, force=not begun, test=False)
            return {"epochs": run_training(request, report=report)["epochs"]}

        _, new = self.state.once("train", key, place, make)
        if not new:
            self._tell("trained (as before)")
        return place

    def bundle(self) -> Manifest:
        """Export and quantise what was trained, with the held-out figures and thresholds."""
        from last_edge.tasks.class_learner import SOLVED
        from last_edge.tools.experiments.finetune import finish_bundle

        figures, run, place, base = self.measure(), self.train(), self.folder / BUNDLE, self.base()
        store, recipe = self.lesson(), self._recipe()
        key = _key(store.sha256, recipe, records.digest(figures))

        def make() -> dict[str, Any]:
            self._tell("bundle: export")
            return finish_bundle(
                run, store.path, base=base, limits=recipe.quantize, out=place, name=self.folder.resolve().name,
                hands=self._hands(), weights=recipe.model.name not in SOLVED, thresholds=figures.thresholds,
                operating=figures.operating,
                held_out=figures.in_manifest(),
            )  # fmt: skip

        made, new = self.state.once("bundle", key, place / MANIFEST, make)
        manifest = Bundle.open(place).manifest
        said = "INT8 and FP32" if "int8" in manifest.precisions else f"FP32 alone; INT8 {made.get('int8', '')}"
        self._tell(f"bundle: {place}, {said}{'' if new else ' (as before)'}")
        return manifest

    def _hands(self) -> str:
        """The hands that the bundle will know: those of its base, both where one hand was taught from nothing."""
        base = self.base()
        if base is not None:
            return Bundle.open(base).manifest.hands
        return "both" if ClipStore.open(self.folder / TAKES).layout.one_hand else ""

    def _once(self, how: str, text: str) -> None:
        """Tell a result once in this teacher's life."""
        if text not in self._told:
            self._told.add(text)
            self._tell(how + text)

    def teach(self) -> Taught:
        """Every step in its order, those done before left out, and a report."""
        from last_edge.tools.teach.figures import Taught, report_of

        with locked(self.folder / "teach"):
            self.state.save()
            taken = self.takes()
            for warning in taken.warnings:
                self._tell(f"note: {warning}")
            base = self.base()
            self._tell(f"base: {base.name if base else 'none; learnt from these takes alone'}")
            figures = self.measure()
            manifest = self.bundle()
            taught = Taught(
                bundle=str(self.folder / BUNDLE),
                labels=tuple(label for label in manifest.labels if not is_background(label)),
                takes=taken.counts,
                base=base.name if base else "",
                held_out=figures.in_manifest(),
                sentence=figures.sentence(),
                on_streams=figures.stream_sentence(),
                taken_for=[list(row) for row in figures.taken_for],
                advice=list(figures.advice),
                warnings=taken.warnings,
                int8="yes" if "int8" in manifest.precisions else "none",
                report=str(self.folder / REPORT),
                run=f"last-edge run {self.folder} --source {self.options.source}",
            )
            write_text(self.folder / REPORT, report_of(taught, figures))
            return taught

    def _recipe(self) -> Recipe:
        from last_edge.tools.teach.basis import recipe_for

        options = self.options
        return recipe_for(ClipStore.open(self.folder / LESSON), self.base(), epochs=options.epochs, seed=options.seed)


def _key(*parts: object) -> str:
    return sha256(repr(parts).encode()).hexdigest()
