"""Proving a bundle: hashes, metadata, golden tensors, its card, and every figure measured again from the data."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from last_edge.bundle.bundle import MAKE_ONE, Bundle, faults
from last_edge.bundle.card import render_card
from last_edge.bundle.manifest import (
    CARD,
    EVENT_FIGURES,
    MANIFEST,
    WEIGHTS,
    Figure,
    Manifest,
    precisions_of,
    to_bytes,
    translates,
)
from last_edge.bundle.zoo import near_names
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import plain_batch
from last_edge.errors import GateError, InputError, LastEdgeError
from last_edge.export.proof.evaluate import check_store, deployed, summarise
from last_edge.export.proof.same import LEAST_AGREEMENT, Logits, ParityRow, family, fault, parity_rows, tolerance
from last_edge.runtime.recognise.model import stale
from last_edge.tasks.plan import CALIBRATION_SPLIT, clip_ids
from last_edge.tasks.recognition import one_clip
from last_edge.tasks.registry import task_of_bundle
from last_edge.tasks.task import Answers, Clips

AGREEMENT_ROUNDING = 1e-3
# Share by which the gap between FP32 and INT8 may differ between processors, whose INT8 kernels round differently.
GAP_TOLERANCE = 0.25
TITLES = {f"bleu{order}": f"BLEU-{order}" for order in (1, 2, 3, 4)}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. name: what. holds: whether it is as recorded. detail: expected and got."""

    name: str
    holds: bool
    detail: str


def verify_bundle(path: Path, store: ClipStore | None = None, *, threads: int = 1) -> list[Check]:
    """Every check of a bundle, failed ones too; with a store also every accuracy and parity figure.

    Figures are measured only of graphs that give their golden logits. What no file can prove stays the manifest's
    word: provenance and `thresholds`, and without float weights torch against FP32 on clips (`last-edge parity --run`
    measures it). Without torch neither float weights nor the parameter count are checked.
    Raises `InputError` when nothing is at `path` or the store is damaged, `GateError` when what is there cannot be
    read as a bundle at all.
    """
    if not path.exists():
        raise InputError("no bundle here", where=path, expected=near_names(path), hint=MAKE_ONE)
    try:
        bundle = Bundle.open(path, verify_hashes=False)
    except InputError as error:
        raise GateError(error.what, where=error.where, expected=error.expected, got=error.got) from error
    hashes = list(_hashes(bundle))
    if not all(check.holds for check in hashes):
        return hashes
    checks = [*hashes, *_golden(bundle), *_description(bundle), *_engines(bundle)]
    if _runs_weights(bundle):
        checks.append(_weights(bundle))
    failed = {check.name for check in checks if not check.holds}
    if store is None or failed & {f"{precision} golden" for precision in precisions_of(bundle.manifest)}:
        return checks
    return [*checks, *_store(bundle, store, threads=threads)]


def require(checks: list[Check], *, where: object) -> None:
    """`GateError` naming every failed check."""
    failed = [f"{check.name} ({check.detail})" for check in checks if not check.holds]
    if failed:
        raise GateError("verification failed", where=where, got="; ".join(failed))


def _hashes(bundle: Bundle) -> Iterator[Check]:
    manifest = bundle.manifest
    wrong = dict(faults(manifest, bundle.contents))
    for name, expected in sorted(manifest.files.items()):
        yield Check(name, name not in wrong, wrong.get(name, f"sha256 {expected[:12]}"))
    whole = to_bytes(manifest) == bundle.contents[MANIFEST]
    yield Check(MANIFEST, whole, f"seal {manifest.seal[:12]}" if whole else "bytes have changed")


def _golden(bundle: Bundle) -> Iterator[Check]:
    """Each precision's files against their golden logits, and the parity rows of the golden inputs."""
    logits: dict[str, Logits] = {}
    for precision in precisions_of(bundle.manifest):
        try:
            logits[precision] = deployed(bundle, precision).logits(bundle.golden.inputs)
        except LastEdgeError as error:
            yield Check(f"{precision} golden", False, error.what)
            continue
        allowed = bundle.manifest.tolerances.get(precision)
        yield _golden_check(precision, logits[precision], bundle.golden.logits.get(precision), allowed)
    if "fp32" in logits:
        yield from _states(bundle)
    torch = bundle.golden.logits.get("torch")
    if "fp32" in logits and (torch is None or torch.shape == logits["fp32"].shape):
        known: dict[str, Answers] = {**({} if torch is None else {"torch": torch}), **logits}
        yield from _parity(bundle.manifest.parity, known, on="golden", noise=tolerance("fp32", logits["fp32"]))


def _golden_check(precision: str, got: Logits, expected: Logits | None, allowed: float | None) -> Check:
    name = f"{precision} golden"
    if expected is None or allowed is None or expected.shape != got.shape:
        return Check(name, False, "no golden logits or tolerance recorded")
    most = tolerance(precision, expected)
    if not 0 <= allowed <= most:
        return Check(name, False, f"tolerance {allowed:.3g} is recorded, at most {most:.3g} is allowed")
    wrong = fault(got, expected, most=allowed)
    return Check(name, not wrong, wrong or f"within {allowed:.3g}")


def _states(bundle: Bundle) -> Iterator[Check]:
    """The state after the golden inputs, of a graph that has one, against the recorded one."""
    expected, got = bundle.golden.states, deployed(bundle, "fp32").states(bundle.golden.inputs)
    for name in sorted({*expected, *got}):
        if name not in expected or name not in got:
            yield Check(f"fp32 golden state {name}", False, "not recorded" if name in got else "not given")
            continue
        one, other = (states[name].reshape(len(states[name]), -1) for states in (expected, got))
        allowed = tolerance("fp32", one)
        wrong = fault(other, one, most=allowed)
        yield Check(f"fp32 golden state {name}", not wrong, wrong or f"within {allowed:.3g}")


def _description(bundle: Bundle) -> Iterator[Check]:
    """What the manifest and the card say of the model, against the files and, where torch is, the code."""
    manifest = bundle.manifest
    labels = json.dumps(manifest.labels, ensure_ascii=False)
    for precision in bundle.precisions:
        try:
            said = deployed(bundle, precision).metadata
        except LastEdgeError:  # as the golden check has said
            continue
        same = said.get("model") == manifest.model.name and said.get("labels") == labels
        yield Check(f"{precision} metadata", same, "model and classes" if same else "names another model or classes")
    if WEIGHTS in manifest.files and not manifest.unfolded:
        same = manifest.files[WEIGHTS] == manifest.provenance.checkpoint_sha256
        yield Check("weights", same, "those that were exported" if same else "of another checkpoint")
    if util.find_spec("torch") is not None:
        yield _parameters(manifest)
    current = bundle.contents.get(CARD) == render_card(manifest, bundle.contents).encode()
    yield Check("card", current, "as the manifest says" if current else "is not what the manifest says")
    places = {"golden", *(figures.get("split") for figures in manifest.metrics.values())}
    odd = [
        row
        for row in manifest.parity
        if family(str(row.get("pair"))) not in LEAST_AGREEMENT or row.get("on") not in places
    ]
    yield Check("parity rows", not odd, f"nothing can prove {odd[0]}" if odd else f"{len(manifest.parity)} recorded")


def _engines(bundle: Bundle) -> Iterator[Check]:
    """Each engine against the graph that the manifest says it was built from; whether it runs only its device knows."""
    built = {name for name in bundle.manifest.files if name.endswith(".engine")}
    for name in sorted(built | bundle.manifest.engines.keys()):
        source = bundle.manifest.engines.get(name, {}).get("source")
        holds = name in built and not stale(bundle, name)
        yield Check(f"{name} source", holds, f"built from {source}" if holds else "built from another graph")


def _runs_weights(bundle: Bundle) -> bool:
    """Whether there are float weights, and torch to run them."""
    return WEIGHTS in bundle.contents and util.find_spec("torch") is not None


def _weights(bundle: Bundle) -> Check:
    """The float weights' own logits on the golden inputs, against the recorded ones of torch.

    Weights that were unfolded from a graph are held to what the trained ones said, too.
    """
    from last_edge.export.proof.parity import torch_logits
    from last_edge.train.checkpoint import read_bundled

    expected = bundle.golden.logits.get("torch")
    try:
        got = torch_logits(read_bundled(bundle.path).model, bundle.golden.inputs)
    except LastEdgeError as error:
        return Check("torch golden", False, error.what)
    allowed = 0.0 if expected is None else tolerance("fp32", expected)
    wrong = fault(got, expected, most=allowed)
    return Check("torch golden", not wrong, wrong or f"within {allowed:.3g}")


def _parameters(manifest: Manifest) -> Check:
    """The recorded parameter count against that of the model the manifest names, built anew."""
    info, task = manifest.model, task_of_bundle(manifest)
    try:
        model = task.build(info.name, spec=manifest.input, outputs=len(manifest.labels), options=info.kwargs)
    except (LastEdgeError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        return Check("parameters", False, f"no such model can be built: {error}")
    count = sum(parameter.numel() for parameter in model.parameters())
    return Check("parameters", count == info.params, f"recorded {info.params:,}, counted {count:,}")


def _store(bundle: Bundle, store: ClipStore, *, threads: int) -> Iterator[Check]:
    """Each recorded figure, each FP32:INT8 parity row and the calibration clips against the store.

    `InputError` when the store's bytes have changed or it is not of the bundle's kind.
    """
    store.verify()
    manifest, precisions = bundle.manifest, precisions_of(bundle.manifest)
    usable: dict[str, dict[str, Figure]] = {}
    for precision in precisions:
        figures = manifest.metrics.get(precision, {})
        measured_on = str(figures.get("store_sha256"))
        if not figures.get("split"):
            yield Check(f"{precision} figures", False, "none recorded")
        elif measured_on != store.sha256:
            detail = f"measured on store {measured_on[:12]}, given {store.sha256[:12]}"
            yield Check(f"{precision} figures", False, detail)
        else:
            usable[precision] = figures
    for split in sorted({str(figures["split"]) for figures in usable.values()}):
        here = {name: figures for name, figures in usable.items() if figures["split"] == split}
        yield from _split(bundle, store, split, here, threads=threads)
    if "int8" in precisions or manifest.calibration_ids:
        yield _calibration(manifest, store)
    if manifest.unfolded:
        yield _unfolded(manifest, store)


def _split(
    bundle: Bundle, store: ClipStore, split: str, recorded: dict[str, dict[str, Figure]], *, threads: int
) -> Iterator[Check]:
    """Figures and parity of all files on one split."""
    store = check_store(bundle, store)
    task = task_of_bundle(bundle.manifest)
    clips = task.clips(store, split)
    files = {name: deployed(bundle, name, threads=threads) for name in precisions_of(bundle.manifest)}
    answers = {name: one.answers(store, clips) for name, one in files.items()}
    known: Mapping[str, Answers] = answers
    if any((row.get("pair"), row.get("on")) == ("torch:fp32", split) for row in bundle.manifest.parity):
        known = {**_torch_answers(bundle, store, clips), **answers}
    allowed = task.margins(store.index.label[clips])
    for precision, figures in recorded.items():
        events = files[precision].events(store, clips)
        now = summarise(bundle.manifest, answers[precision], store, clips, split=split, events=events)
        for name in (*task.kept, *(name for name in EVENT_FIGURES if name in figures)):
            said, got = number(figures.get(name)), number(now.get(name))
            detail = f"{TITLES.get(name, name)} {got:g}, recorded {said:g}"
            yield Check(f"{precision} {name}", abs(said - got) <= allowed[name] + 1e-9, detail)
    reference = answers["fp32"]
    noise = 0.0 if isinstance(reference, list) else tolerance("fp32", reference)
    yield from _parity(bundle.manifest.parity, known, on=split, noise=noise)


def _torch_answers(bundle: Bundle, store: ClipStore, clips: Clips) -> dict[str, Answers]:
    """What the float weights of a classifier of clips answer; nothing where they cannot be run."""
    manifest = bundle.manifest
    if not _runs_weights(bundle) or manifest.stream is not None or translates(manifest):
        return {}
    from last_edge.export.proof.parity import torch_logits
    from last_edge.train.checkpoint import read_bundled

    inputs = plain_batch(store, clips, manifest.input, manifest.features)
    return {"torch": torch_logits(read_bundled(bundle.path).model, inputs)}


def _parity(
    recorded: tuple[ParityRow, ...], answers: Mapping[str, Answers], *, on: str, noise: float
) -> Iterator[Check]:
    """Each parity row that these answers by precision give, against the recorded one of the same inputs.

    noise: |difference| of logits that FP32 rounding explains.
    """
    for now in parity_rows(answers, on=on):
        said = [row for row in recorded if (row.get("pair"), row.get("on")) == (now["pair"], on)]
        holds = len(said) == 1 and _same_row(said[0], now, noise=noise)
        yield Check(f"parity {now['pair']} on {on}", holds, f"recorded {_told(said)}, measured {_told([now])}")


def _same_row(said: ParityRow, now: ParityRow, *, noise: float) -> bool:
    """Whether a parity row was measured again. Sentences, which have no distance, must come out the same."""
    clips = int(now["n"])
    made = now["on"] == "golden"  # skeletons between the classes, where rounding may settle a tie
    flips = 100.0 / clips if made else one_clip(clips) if "max_abs" in now else 0.0
    same = (
        said.get("n") == clips
        and abs(number(said.get("agreement")) - number(now["agreement"])) <= flips + AGREEMENT_ROUNDING
    )
    gaps = [(number(said.get(name)), number(now[name])) for name in ("max_abs", "mean_abs") if name in now]
    return same and all(abs(one - other) <= noise + GAP_TOLERANCE * other for one, other in gaps)


def _told(rows: list[ParityRow]) -> str:
    facts = ("n", "agreement", "max_abs", "mean_abs")
    return " and ".join(", ".join(f"{name} {row[name]}" for name in facts if name in row) for row in rows) or "none"


def _calibration(manifest: Manifest, store: ClipStore) -> Check:
    """Whether the ranges were found on training clips of this store that the task can measure."""
    drawn_from = str(manifest.calibration.get("store_sha256"))
    if drawn_from != store.sha256:
        return Check("calibration", False, f"drawn from store {drawn_from[:12]}, given {store.sha256[:12]}")
    named = set(manifest.calibration_ids)
    known = clip_ids(store, task_of_bundle(manifest).clips(store, CALIBRATION_SPLIT))
    strangers = sorted(named - set(known))
    if strangers or not named:
        return Check("calibration", False, f"not in the {CALIBRATION_SPLIT} split: {strangers[:3] or 'none named'}")
    return Check("calibration", True, f"{len(named)} clips of the {CALIBRATION_SPLIT} split")


def _unfolded(manifest: Manifest, store: ClipStore) -> Check:
    """Whether unfolded weights' norms can have been measured on this store's clips."""
    found = manifest.unfolded
    clips = len(store.select(split=str(found.get("split"))))
    told = f"norms measured on {found.get('clips')} clips of the {found.get('split')} split"
    same = (found.get("store_sha256"), found.get("clips")) == (store.sha256, clips)
    return Check("unfolded weights", same, told if same else f"{told}; this store has {clips}, {store.sha256[:12]}")


def number(figure: Figure | None) -> float:
    """A recorded figure as a number; NaN, which is near nothing, where it is absent or text."""
    return float(figure) if isinstance(figure, int | float) else float("nan")
