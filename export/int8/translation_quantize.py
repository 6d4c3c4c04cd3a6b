"""`last-edge quantize` of a translator: 8-bit files beside its FP32 ones, if people who judge find them as good."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.bundle import Bundle, rewrite_bundle, with_hashes
from last_edge.bundle.golden import Golden
from last_edge.bundle.manifest import CARD, GOLDEN, Figure, decoder_file, encoder_file
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import sentence_points, translated_clips
from last_edge.errors import UsageError
from last_edge.export.int8.calibration import Parts, parts_of
from last_edge.export.int8.qdq import USUAL_TARGET
from last_edge.export.int8.quantize import QuantizeOptions
from last_edge.export.int8.quantize_bundle import Plan, Quantised, calibrated, measured
from last_edge.export.int8.speed import sentence_milliseconds
from last_edge.export.int8.translation_int8 import decoder_feeds, encoder_feeds, int8_graph, weight_count
from last_edge.export.proof.evaluate import Deployed, DeployedTranslator, check_store, deployed
from last_edge.runtime.recognise.model import Settings
from last_edge.runtime.translator import Translator
from last_edge.tasks.config import QuantizeConfig
from last_edge.tasks.gates import Candidate, Gate, require_gates
from last_edge.tasks.registry import TRANSLATION

INT8 = "int8"
ENCODER, DECODER = encoder_file(INT8), decoder_file(INT8)
CANDIDATES = ((ENCODER, DECODER), (ENCODER,))
"""What may be shipped, the best first: without an 8-bit decoder the float one serves both encoders."""
TIMED = 5
Made = dict[str, bytes]


@dataclass(frozen=True)
class Trial:
    """Some 8-bit files in front of the judges."""

    files: Made
    deployed: Deployed
    gates: list[Gate]

    def row(self) -> dict[str, Figure]:
        """For a table."""
        return {"files": " ".join(self.files), **{gate.name: round(gate.got, 3) for gate in self.gates}}

    @property
    def holds(self) -> bool:
        """Whether every gate does."""
        return all(gate.holds for gate in self.gates)


def quantize_translation(
    path: Path, store: ClipStore, plan: Plan, *, split: str = "test", threads: int = 1, force: bool = False
) -> Quantised:
    """Add an 8-bit encoder and, if it passes too, an 8-bit decoder to a bundle in place; measure them on `split`.

    Ranges come from training clips. The gates are held on the val split or on training people kept apart, so nothing
    of `split` chooses anything. Raises `GateError` with the table, and leaves the bundle as it was, when nothing
    passes; `UsageError` when the bundle has an 8-bit encoder and not `force`; `InputError` for another store.
    """
    bundle = _open(path, store, plan, force=force)
    clips = translated_clips(store, split)
    store.verify()
    parts = parts_of(store, count=plan.count, seed=plan.seed, run=plan.run, task=TRANSLATION)
    made = _make(bundle, store, parts.calibration, plan.options)
    trials = _tried(bundle, store, parts, made, plan.gates or QuantizeConfig(), threads=threads)
    chosen = next((trial for trial in trials if trial.holds), trials[0])
    if plan.gates is not None:
        require_gates(chosen.gates, where=path, hint="--keep-float encoder/NODE, or other limits with --set quantize.…")
    golden = bundle.golden
    golden = Golden(golden.inputs, {**golden.logits, INT8: chosen.deployed.logits(golden.inputs)})
    float_one = deployed(bundle, "fp32", threads=threads)
    said = {"fp32": float_one.answers(store, clips), INT8: chosen.deployed.answers(store, clips)}
    manifest = measured(bundle, golden, said, precision=INT8, store=store, clips=clips, split=split)
    manifest = calibrated(manifest, plan.options, plan, store=store, clips=parts.calibration)
    listed = {name: digest for name, digest in manifest.files.items() if name not in (ENCODER, DECODER)}
    manifest = dataclasses.replace(manifest, files=listed)
    written = rewrite_bundle(bundle, manifest, files={**chosen.files, GOLDEN: golden.to_bytes()})
    return Quantised(written, chosen.gates, {"candidates": [trial.row() for trial in trials]})


def preview(path: Path, store: ClipStore, plan: Plan, *, split: str, force: bool) -> dict[str, Any]:
    """The files that `quantize_translation` would write, and from how many clips; raises as it would."""
    bundle = _open(path, store, plan, force=force)
    parts = parts_of(store, count=plan.count, seed=plan.seed, run=plan.run, task=TRANSLATION)
    return {
        "would_write": str(path),
        "files": [ENCODER, f"{DECODER} if it passes", "manifest.json", GOLDEN, CARD],
        "model": bundle.manifest.model.name,
        "clips_for_calibration": len(parts.calibration),
        "clips_that_judge": len(parts.judging),
        "clips_measured": len(translated_clips(store, split)),
    }


def _open(path: Path, store: ClipStore, plan: Plan, *, force: bool) -> Bundle:
    """The bundle, when it may get 8-bit files by this plan from this store."""
    asked = {
        "--qat": plan.qat is not None,
        "--keep-float auto": plan.search_budget is not None,
        "--target": plan.options.target != USUAL_TARGET,
        "quantize.equalise": plan.options.equalise is True,
    }
    for flag, given in asked.items():
        if given:
            raise UsageError(f"{flag} is for classifiers", where=path, hint="last-edge quantize BUNDLE --store STORE")
    _kept(plan.options.keep_float)
    bundle = Bundle.open(path)
    if ENCODER in bundle.manifest.files and not force:
        raise UsageError(f"the bundle has an INT8 file, {ENCODER}", where=path, hint="--force to make it anew")
    check_store(bundle, store)
    return bundle


def _make(bundle: Bundle, store: ClipStore, clips: NDArray[np.int64], options: QuantizeOptions) -> Made:
    """Both files in 8 bits."""
    kept = _kept(options.keep_float)
    translator = Translator.of(bundle, precision="fp32")
    feeds = {
        "encoder": (ENCODER, encoder_file("fp32"), encoder_feeds(store, clips, frames=translator.spec.frames)),
        "decoder": (DECODER, decoder_file("fp32"), decoder_feeds(translator, store, clips)),
    }
    return {
        made: int8_graph(
            bundle.read(source), fed, method=options.method, percentile=options.percentile, keep_float=kept[part]
        )
        for part, (made, source, fed) in feeds.items()
    }


def _kept(names: Sequence[str]) -> dict[str, list[str]]:
    """Nodes that stay float, by file; they are named `encoder/NODE` and `decoder/NODE`."""
    kept: dict[str, list[str]] = {"encoder": [], "decoder": []}
    for name in names:
        part, _, node = name.partition("/")
        if part not in kept or not node:
            raise UsageError("a translator has two graphs", expected="encoder/NODE or decoder/NODE", got=name)
        kept[part].append(node)
    return kept


def _tried(
    bundle: Bundle,
    store: ClipStore,
    parts: Parts,
    made: Made,
    limits: QuantizeConfig,
    *,
    threads: int,
) -> list[Trial]:
    """The candidates before the judges, up to the first that holds every gate."""
    trials = list[Trial]()
    reference = DeployedTranslator(bundle, "fp32", settings=Settings(threads))
    frames = bundle.manifest.input.frames
    timed = [sentence_points(store, int(clip), frames) for clip in _spread(store, parts.judging)]
    said, wanted = reference.answers(store, parts.judging), TRANSLATION.wanted(store, parts.judging)
    for names in CANDIDATES:
        files = {name: made[name] for name in names}
        candidate = DeployedTranslator(_draft(bundle, files), INT8, settings=Settings(threads))
        pair = {"fp32": reference.translator, INT8: candidate.translator}
        spent = sentence_milliseconds(pair, timed, threads=threads)
        tried = Candidate(
            reference=said,
            answers=candidate.answers(store, parts.judging),
            size=sum(map(len, files.values())),
            weights=sum(weight_count(bundle.read(name.replace(INT8, "fp32"))) for name in names),
            reference_ms=spent["fp32"],
            ms=spent[INT8],
        )
        trials.append(Trial(files, candidate, TRANSLATION.gates(tried, wanted, limits)))
        if trials[-1].holds:
            break
    return trials


def _spread(store: ClipStore, clips: NDArray[np.int64]) -> NDArray[np.int64]:
    """A few clips from short to long."""
    ordered = clips[np.argsort(store.index.length[clips], kind="stable")]
    places = np.linspace(0, len(ordered) - 1, min(TIMED, len(ordered))).astype(int)
    return np.asarray(ordered[places], np.int64)


def _draft(bundle: Bundle, made: Made) -> Bundle:
    """The bundle as it would be with some 8-bit files."""
    files = _files(bundle, made)
    return Bundle(bundle.path, with_hashes(bundle.manifest, files), files)


def _files(bundle: Bundle, made: Made) -> dict[str, bytes]:
    """Every file of the bundle, with these 8-bit files instead of those it had."""
    return {name: bundle.read(name) for name in bundle.manifest.files if name not in (ENCODER, DECODER)} | made
