"""What a bundle's answers are worth, found on people the weights never saw: least probability, temperature, energy.

None is fitted on the clips that the weights learnt: those have energies that no stranger's reach. The temperature
follows Guo et al. 2017. Of the energy's threshold, positives are clips answered right, negatives what
`last_edge.clips.compose` makes between them, idle stretches and motions of no class: it parts the two best (Youden
1950) among those that keep 95% of right answers. INT8 logits are near enough to FP32's to share both.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from last_edge import records
from last_edge.clips.compose import ComposeOptions, Stream, between, compose
from last_edge.clips.store import ClipStore
from last_edge.errors import InputError
from last_edge.export.onnx.session import logits_of
from last_edge.inputs import InputSpec
from last_edge.inputs.features import LANDMARKS
from last_edge.inputs.spec import Points, fit_window
from last_edge.logits import energy, softmax
from last_edge.train.checkpoint import Checkpoint
from last_edge.train.run_folder import CHECKPOINTS, FINAL

# Share of reported answers, in percent, that must be right, and how many answers it takes to say so.
RIGHT = 95.0
LEAST_ACCEPTED = 20
DECIMALS = 3
# Percent of right answers that the energy threshold must keep.
KEPT = 95.0
TEMPERATURES = np.geomspace(0.25, 4.0, 161)
ENERGY_DECIMALS = 4


def validation_clips(checkpoint: Checkpoint, store: ClipStore) -> NDArray[np.int64]:
    """The labelled training clips of the people that the checkpoint's finished run held out, and of the `val` split.

    None (n = 0) for a run that held nobody out, one that is not finished, or a store it was not trained on. Test
    clips are never among them. `InputError` when the run's `final.json` is damaged.
    """
    held = held_out_subjects(checkpoint.path)
    if not held or store.sha256 != checkpoint.card.store_sha256:
        return np.zeros(0, np.int64)
    clips = np.concatenate([store.select(split="train", subjects=held), store.select(split="val")])
    return np.sort(clips[store.index.label[clips] >= 0])


def accept_threshold(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """`thresholds` of a manifest from validation logits (n, K) and classes (n,); empty when no threshold serves.

    accept: the lowest top probability at and above which at least 95% of answers are right. accept_right: how many
    are, in percent. accept_share: percent of clips that are answered at all. accept_clips: n. Where that share holds of
    all clips, they say nothing of what to refuse, and a stream has idle time that no clip shows: the runtime's own
    threshold stays.
    """
    probabilities = softmax(logits)
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    if not len(labels) or 100.0 * float(right.mean()) >= RIGHT:
        return {}
    for lowest in np.unique(np.floor(top * 10**DECIMALS) / 10**DECIMALS):
        accepted = top >= lowest
        share = 100.0 * float(right[accepted].mean())
        if accepted.sum() >= LEAST_ACCEPTED and share >= RIGHT:
            found = {
                "accept_right": share,
                "accept_share": 100.0 * float(accepted.mean()),
                "accept_clips": float(len(top)),
            }
            return {"accept": round(float(lowest), DECIMALS), **{name: round(x, 2) for name, x in found.items()}}
    return {}


def held_out_subjects(checkpoint: Path) -> tuple[str, ...]:
    """`val_subjects` of the run that a checkpoint folder lies in; none where it lies in no finished run."""
    path = checkpoint.parent.parent / FINAL
    if checkpoint.parent.name != CHECKPOINTS or not path.exists():
        return ()
    final = records.read_json(path)
    subjects = final.get("val_subjects", []) if isinstance(final, dict) else None
    if not isinstance(subjects, list):
        raise InputError("not the record of a finished run", where=path, expected="val_subjects: a list")
    return tuple(map(str, subjects))


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature at which (n, K) held-out logits have the least negative log likelihood of their classes (n,)."""
    picked = np.arange(len(labels)), labels

    def loss(temperature: float) -> float:
        return -float(np.log(softmax(logits / temperature)[picked] + 1e-12).mean())

    return round(float(min(TEMPERATURES, key=loss)), ENERGY_DECIMALS)


def fit_energy(known: NDArray[np.float64], unknown: NDArray[np.float64]) -> dict[str, float]:
    """`energy`, `energy_kept` and `energy_refused` (percent of known, of unknown motions) from the scores of both;
    empty without either.
    """
    if not len(known) or not len(unknown):
        return {}
    most = float(np.percentile(known, 100 - KEPT))
    candidates = np.unique([*known[known <= most], *unknown[unknown <= most], most])
    gains = [float((known >= least).mean() + (unknown < least).mean()) for least in candidates]
    least = float(candidates[int(np.argmax(gains))])
    kept, refused = 100 * float((known >= least).mean()), 100 * float((unknown < least).mean())
    return {"energy": round(least, ENERGY_DECIMALS), "energy_kept": round(kept, 2), "energy_refused": round(refused, 2)}


def rejection_thresholds(
    graph: bytes, logits: NDArray[np.float32], *, store: ClipStore, clips: NDArray[np.int64], spec: InputSpec,
    threads: int = 1,
) -> dict[str, float]:  # fmt: skip
    """`thresholds` of a manifest: temperature, energy, and percent of right answers kept and of unknown ones refused.

    logits: (n, K), the graph's own of `clips` (n,), which are labelled clips of held-out people.
    """
    labels = store.index.label[clips]
    temperature = fit_temperature(logits, labels)
    made = unknown_windows(compose(store, clips, seed=0, options=ComposeOptions(made=0.5)), spec)
    strange = logits_of(graph, {LANDMARKS: made}, threads=threads)
    right = logits[logits.argmax(axis=1) == labels]
    return {"temperature": temperature, **fit_energy(energy(right, temperature), energy(strange, temperature))}


def unknown_windows(streams: list[Stream], spec: InputSpec) -> Points:
    """(n, *spec.shape) windows of every idle stretch and every motion of no class."""
    windows = [fit_window(part[: spec.bodies], spec.frames) for stream in streams for part in between(stream)]
    stacked = np.stack(windows)
    return stacked[:, 0] if spec.bodies == 1 else stacked
