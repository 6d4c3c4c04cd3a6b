"""What a bundle's files answer to clips of a store, and how good that is: the very bytes in it, run as they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import EVENT_FIGURES, INPUT_NAME, Figure, Manifest, model_file
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import at_own_rates, check_points, padded, plain_batch, sentence_points
from last_edge.errors import InputError, UsageError
from last_edge.export.onnx.session import answers_of
from last_edge.export.proof.span_events import as_frame_answers, score_of, stepper_answers
from last_edge.inputs.features import Inputs
from last_edge.names import mirrored_order
from last_edge.runtime.backends import OnnxRuntimeCpu
from last_edge.runtime.recognise.model import (
    Settings,
    check_answer,
    check_logits,
    open_backend,
    open_stepper,
    settings_of,
    span_rules,
)
from last_edge.runtime.translator import Translator
from last_edge.skeleton.layout import mirror as mirror_points
from last_edge.tasks.registry import task_of_bundle
from last_edge.tasks.task import Answers, Clips, check_options

BATCH = 16


class Deployed(Protocol):
    """The files of one precision at work. beam: of a search for sentences, instead of the bundle's own.

    `InputError` where a graph takes another input than the manifest says.
    """

    def __init__(
        self, bundle: Bundle, precision: str, *, settings: Settings | None = None, beam: int | None = None
    ) -> None: ...

    @property
    def metadata(self) -> dict[str, str]:
        """What the graph says of itself; empty of a pair of them."""
        ...

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """(n, K) logits of golden inputs: of the classes, or of each clip's first sub-word."""
        ...

    def states(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        """Of a graph with a state, what it is after golden inputs; else empty."""
        ...

    def answers(self, store: ClipStore, clips: Clips) -> Answers:
        """What is answered to some clips, in the order given."""
        ...

    def events(self, store: ClipStore, clips: Clips) -> dict[str, Figure]:
        """What the events of a stream score, shares from 0 to 1; empty where there are none. Clips that `answers` was
        asked about last are not answered once more."""
        ...


class DeployedRecogniser:
    def __init__(
        self, bundle: Bundle, precision: str, *, settings: Settings | None = None, beam: int | None = None
    ) -> None:
        self.model = open_backend(OnnxRuntimeCpu.name, bundle.graph(precision), settings)
        self.manifest, self._where = bundle.manifest, bundle.path / model_file(precision)
        require_input(self.metadata, bundle)

    @property
    def metadata(self) -> dict[str, str]:
        return self.model.metadata

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """See `Deployed`; `InputError` unless they are finite and one for each label."""
        first, classes = {name: array[:1] for name, array in inputs.items()}, len(self.manifest.labels)
        check_answer(self.model, first, classes=classes, where=self._where)
        logits = answers_of(self.model, inputs)
        check_logits(logits, (len(inputs[INPUT_NAME]), classes), where=self._where)
        return logits

    def states(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        return {}

    def answers(self, store: ClipStore, clips: Clips) -> Answers:
        """Logits (n, K)."""
        return self.logits(plain_batch(store, clips, self.manifest.input, self.manifest.features))

    def events(self, store: ClipStore, clips: Clips) -> dict[str, Figure]:
        return {}

    def mirrored_answers(self, store: ClipStore, clips: Clips) -> Answers:
        """Logits (n, K) of the clips seen in a mirror, those of directions such as `swipe left` exchanged."""
        manifest = self.manifest
        if manifest.features is not None:
            raise UsageError("features have no mirror image", where=self._where, got=manifest.features.name)
        points = mirror_points(plain_batch(store, clips, manifest.input)[INPUT_NAME], manifest.input.layout)
        return self.logits({INPUT_NAME: points})[:, list(mirrored_order(manifest.labels))]


class DeployedTranslator:
    def __init__(
        self, bundle: Bundle, precision: str, *, settings: Settings | None = None, beam: int | None = None
    ) -> None:
        threads = 1 if settings is None else settings.threads
        self.translator, self.beam = Translator.of(bundle, precision=precision, threads=threads), beam

    @property
    def metadata(self) -> dict[str, str]:
        return {}

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        return self.translator.first_logits(inputs[INPUT_NAME])

    def states(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        return {}

    def answers(self, store: ClipStore, clips: Clips) -> Answers:
        """A sentence each; clips of similar length are searched together."""
        ordered = clips[np.argsort(store.index.length[clips], kind="stable")]
        said: dict[int, str] = {}
        for start in range(0, len(ordered), BATCH):
            batch = ordered[start : start + BATCH]
            points = padded([sentence_points(store, int(clip), self.translator.spec.frames) for clip in batch])
            said |= dict(zip(batch.tolist(), self.translator.sentences(points, beam=self.beam), strict=True))
        return [said[int(clip)] for clip in clips]

    def events(self, store: ClipStore, clips: Clips) -> dict[str, Figure]:
        return {}


class DeployedStream:
    """See `Deployed`. Logits are those of all frames, clip after clip, each from its beginning."""

    def __init__(
        self, bundle: Bundle, precision: str, *, settings: Settings | None = None, beam: int | None = None
    ) -> None:
        if beam is not None:
            raise UsageError("--beam is for translators, this answers at every frame", where=bundle.path)
        assert bundle.manifest.stream is not None
        self.manifest, self.stream, self._rules = bundle.manifest, bundle.manifest.stream, span_rules(bundle)
        self._last: tuple[tuple[str, bytes], list[NDArray[np.float32]]] | None = None
        self._where = bundle.path / model_file(precision)
        self.stepper = open_stepper(bundle, bundle.graph(precision), settings)
        require_input(self.metadata, bundle)

    @property
    def metadata(self) -> dict[str, str]:
        return self.stepper.metadata

    def logits(self, inputs: Inputs) -> NDArray[np.float32]:
        """See `Deployed`; `InputError` unless they are finite and one for each label."""
        return self._checked(np.concatenate(self.stepper.sequences(inputs[INPUT_NAME])[0]))

    def states(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        return self.stepper.sequences(inputs[INPUT_NAME])[1]

    def answers(self, store: ClipStore, clips: Clips) -> Answers:
        """Logits (F, K) of all frames, at the recordings' own rates."""
        logits = [own[:, :-1] for own in self._said(store, clips)]
        return self._checked(at_own_rates(logits, store, clips, rate=self.stream.rate))

    def events(self, store: ClipStore, clips: Clips) -> dict[str, Figure]:
        """See `Deployed`; empty without rules for spans."""
        if self._rules is None:
            return {}
        said = as_frame_answers(self._said(store, clips), clips, delay_s=self.stream.delay_s)
        scored = score_of(self._rules, said, store)
        return {name: scored[name] for name in EVENT_FIGURES if scored[name] is not None}

    def _said(self, store: ClipStore, clips: Clips) -> list[NDArray[np.float32]]:
        """See `stepper_answers`; those of the last call are kept."""
        asked = (store.sha256, clips.tobytes())
        if self._last is None or self._last[0] != asked:
            self._last = asked, stepper_answers(self.stepper, self.manifest, store, clips)
        return self._last[1]

    def _checked(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        check_logits(logits, (len(logits), len(self.manifest.labels)), where=self._where)
        return logits


DEPLOYED: dict[str, type[Deployed]] = {
    "recognition": DeployedRecogniser,
    "translation": DeployedTranslator,
    "streaming": DeployedStream,
}
"""By the name of a bundle's task."""


def deployed(bundle: Bundle, precision: str, *, threads: int = 1) -> Deployed:
    """The files of one precision of a bundle, ready to answer."""
    return DEPLOYED[task_of_bundle(bundle.manifest).name](bundle, precision, settings=Settings(threads))


def evaluate_bundle(
    bundle: Bundle | Path, store: ClipStore, *, split: str = "test", precision: str | None = None,
    threads: int | None = None, merge_at: str = "", beam: int | None = None, mirror: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Figures of one precision's files on a split; shares in percent. `InputError` when store and bundle differ.

    Labels are matched by name; those of the bundle without a clip are told as `absent`.

    precision: fp32 unless named. They run as `bench tune` found them fastest; threads: wins over that. merge_at: see
    `last_edge.tasks.metrics.merged`. beam: hypotheses of a search for sentences. mirror: clips
    are of the other hand than the bundle was taught, and mirrored.
    """
    bundle = Bundle.open(bundle) if isinstance(bundle, Path) else bundle
    manifest, precision = bundle.manifest, precision or "fp32"
    task = task_of_bundle(manifest)
    check_options(task, {"--merge-at": merge_at, "--beam": beam is not None, "--mirror": mirror}, where=bundle.path)
    check_points(store, manifest.input)
    store = task.labelled_as(store, manifest.labels, split)
    check_store(bundle, store)
    clips = task.clips(store, split)
    settings = settings_of(manifest, precision, threads=threads)
    files = DEPLOYED[task.name](bundle, precision, settings=settings, beam=beam)
    if mirror and isinstance(files, DeployedRecogniser):
        answers = files.mirrored_answers(store, clips)
    else:
        answers = files.answers(store, clips)
    return task.figures(answers, store, clips, labels=manifest.labels, merge_at=merge_at)


def summarise(
    manifest: Manifest, answers: Answers, store: ClipStore, clips: Clips, *, split: str, events: dict[str, Figure]
) -> dict[str, Figure]:
    """The figures of a manifest: shares in percent, the split, its clip count and the store's sha256.

    events: what those of a stream score, of `Deployed.events`.
    """
    task = task_of_bundle(manifest)
    figures = task.figures(answers, store, clips, labels=manifest.labels)
    return {**{name: figures[name] for name in task.kept}, **events, "split": split, "store_sha256": store.sha256}


def require_input(metadata: Mapping[str, str], bundle: Bundle) -> None:
    """`InputError` unless the metadata of a graph names the `InputSpec` of its manifest."""
    expected, got = bundle.manifest.input.sha256, metadata.get("input_sha256")
    if got != expected:
        raise InputError(
            "graph takes another input than the manifest says", where=bundle.path, expected=expected, got=got
        )


def check_store(bundle: Bundle, store: ClipStore) -> ClipStore:
    """The store, its classes numbered as the bundle's; `InputError` when layout, units or labels are not its own."""
    manifest = bundle.manifest
    if store.units != manifest.units:
        raise InputError("store in other units", where=store.path, expected=manifest.units, got=store.units)
    return task_of_bundle(manifest).check_store(store, manifest.input, manifest.labels)
