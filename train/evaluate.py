"""Runs read back and measured on clips of a store."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from last_edge.clips.store import ClipStore
from last_edge.clips.windows import check_points
from last_edge.errors import InputError
from last_edge.models.registry import TRANSLATORS
from last_edge.models.sign2text import create_translator
from last_edge.tasks.class_learner import predict
from last_edge.tasks.config import Recipe
from last_edge.tasks.registry import STREAMING, TRANSLATION
from last_edge.tasks.stream.learner import frame_logits
from last_edge.tasks.task import check_options
from last_edge.tasks.translator import FILE, SubWords, Translator, search_options
from last_edge.train.checkpoint import (
    WEIGHTS,
    ModelCard,
    Which,
    checkpoint_folder,
    load_checkpoint,
    load_weights,
    read_card,
    task_of_run,
)
from last_edge.train.recipe import load_recipe
from last_edge.train.run_folder import RECIPE


@dataclass(frozen=True)
class LoadedTranslator:
    """A checkpoint of a translator, in eval mode on the CPU, and the recipe that made it."""

    path: Path
    translator: Translator
    card: ModelCard
    recipe: Recipe


def load_translator(path: Path, which: Which = "best") -> LoadedTranslator:
    """Read a translator's run or checkpoint; `InputError` when it is another model's or does not fit its tokenizer."""
    folder = checkpoint_folder(path, which)
    card, spec = read_card(folder)
    if card.name not in TRANSLATORS:
        raise InputError("not a translation model", where=folder, expected=", ".join(TRANSLATORS), got=card.name)
    words = SubWords.read(folder / FILE)
    if len(words) != card.classes:
        raise InputError("the tokenizer does not fit the model", where=folder, expected=card.classes, got=len(words))
    model = create_translator(card.name, spec=spec, tokens=card.classes, **card.options)
    load_weights(model, folder / WEIGHTS)
    return LoadedTranslator(folder, Translator(model.eval(), words), card, load_recipe(str(folder / RECIPE)))


def evaluate_run(
    path: Path, store: ClipStore, *, split: str = "test", which: Which = "best", merge_at: str = "",
    beam: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Figures of a run's checkpoint on a split of a store, whose labels are matched by name.

    merge_at: see `last_edge.tasks.metrics.merged`. beam: of a search for sentences, instead of the recipe's.
    `InputError` for labels that the run did not learn, `UsageError` for an option that its model has no use for.
    """
    task = task_of_run(path)
    check_options(task, {"--merge-at": merge_at, "--beam": beam is not None}, where=path)
    if task is TRANSLATION:
        return _evaluate_translator(load_translator(path, which), store, split=split, beam=beam)
    checkpoint = load_checkpoint(path, which)
    check_points(store, checkpoint.spec)
    store = task.labelled_as(store, checkpoint.labels, split)
    clips = task.clips(store, split)
    if task is STREAMING:
        logits = frame_logits(checkpoint.model, store, clips)
    else:
        logits = predict(checkpoint.model, store, clips, spec=checkpoint.spec)
    return task.figures(logits, store, clips, labels=checkpoint.labels, merge_at=merge_at)


def _evaluate_translator(loaded: LoadedTranslator, store: ClipStore, *, split: str, beam: int | None) -> dict[str, Any]:
    """Figures of sentences, the losses' gap and a verdict among them."""
    translator = loaded.translator
    check_points(store, translator.spec)
    clips = TRANSLATION.clips(store, split)
    options = search_options(loaded.recipe.translate, longest=translator.model.options.longest, beam=beam)
    train = TRANSLATION.plan(store, loaded.recipe).train if "train" in store.index.split else None
    return translator.figures(store, clips, options, train=train)
