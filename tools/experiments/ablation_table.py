"""The table of an ablation, as JSON and Markdown: every cell against the baseline, on the same clips and seeds."""

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Any

from last_edge import records
from last_edge.files import write_text
from last_edge.tools.experiments.ablation import Ablation, Hits, answers, clips_of, effective, is_done
from last_edge.tools.experiments.compare import as_digits, by_class, class_difference, paired_difference, spread
from last_edge.tools.output import difference, markdown
from last_edge.train.environment import describe_environment
from last_edge.train.run_folder import FINAL

Table = dict[str, Any]


class Answers:
    """Right answers of finished cells, each asked once in this process."""

    def __init__(self, ablation: Ablation, split: str) -> None:
        self.ablation, self.split = ablation, split
        self._known: dict[str, Hits] = {}

    def cells(self) -> list[str]:
        """Cells that were asked for, and all others of the plan that are done already, in its order."""
        every = self.ablation.plan.all_cells()
        return [name for name in every if name in self.ablation.cells or self._done(name)]

    def of(self, cell: str) -> Hits | None:
        """(seeds, clips); None while a seed is missing."""
        if not self._done(cell):
            return None
        if cell not in self._known:
            self._known[cell] = answers(self.ablation, cell, self.split, self.ablation.seeds)
        return self._known[cell]

    def _done(self, cell: str) -> bool:
        return all(is_done(self.ablation.folder(cell, seed)) for seed in self.ablation.seeds)


def make_table(known: Answers, *, names: list[str]) -> Table:
    """Rows of the named cells, the baseline first as a rule; a cell that is not done yet says so."""
    ablation = known.ablation
    base, about = known.of(ablation.plan.baseline), ablation.opened.about
    data = str(about.get("dataset", ablation.store.name))
    options = {key: value for key, value in about.get("options", {}).items() if key == "split_type"}
    return {
        "schema_version": 1, "kind": "ablation", "about": ablation.plan.about,
        "dataset": {"name": data, "classes": len(ablation.opened.labels), **options},
        "store_sha256": ablation.opened.sha256, "split": known.split, "val_subjects": ablation.val_subjects,
        "clips": len(clips_of(ablation, known.split)), "seeds": list(ablation.seeds),
        "baseline": ablation.plan.baseline,
        "preparations": {name: _prepared(ablation, name) for name in ablation.needed},
        "rows": [_row(known, name, base) for name in names], "environment": describe_environment(),
    }  # fmt: skip


def write_table(table: Table, base: Path) -> None:
    """BASE.json and BASE.md."""
    records.write_json(base.with_suffix(".json"), table)
    write_text(base.with_suffix(".md"), to_markdown(table))


def to_markdown(table: Table) -> str:
    """The table for people, with what it stands on."""
    about = f"{dataset(table)}, {table['clips']} {table['split']} clips"
    if table["split"] == "val":
        about += f" of subjects {', '.join(table['val_subjects'])}" if table["val_subjects"] else " of its own split"
    seeds = ", ".join(map(str, table["seeds"]))
    lines = [
        f"# Ablation on the {'test split' if table['split'] == 'test' else 'validation subjects'}",
        "",
        table["about"],
        "",
        markdown(columns(table)),
        f"{about}; seeds {seeds}. The spread is the standard deviation over seeds. The difference is to "
        f"`{table['baseline']}`, paired by seed and clip, with the bootstrap's 95% interval over clips; that of the "
        "mean over classes with the one over classes.",
        "",
        *(f"- {name}: {_described(what)}" for name, what in table["preparations"].items()),
        f"- store sha256 {table['store_sha256']}, commit {table['environment']['commit']}",
        f"- made by `{shlex.join(['last-edge', *sys.argv[1:]])}`",
    ]
    return "\n".join(lines) + "\n"


def dataset(table: Table) -> str:
    """What the clips are, in a few words."""
    own = table["dataset"]
    return " ".join([own["name"], own.get("split_type") or "", f"{own['classes']} classes"]).replace("  ", " ")


def columns(table: Table) -> dict[str, list[str]]:
    """The table's columns, best mean first below the baseline."""
    rows = ranked(table)
    return {
        "cell": [row["name"] for row in rows],
        "top-1 %": [_spread(row) for row in rows],
        "each seed": [_each(row) for row in rows],
        "difference": [difference(row["difference"]) for row in rows],
        "mean over classes %": [_spread(row, "mean_class") for row in rows],
        "its difference": [difference(row["class_difference"]) for row in rows],
        "parameters": [f"{row['params']:,}" if row["params"] else "" for row in rows],
        "settings": [" ".join(row["settings"]) for row in rows],
    }


def ranked(table: Table) -> list[Table]:
    """Rows: the baseline, then the others by their mean, those not done last."""
    return sorted(
        table["rows"],
        key=lambda row: (row["name"] != table["baseline"], -(row["top1"]["mean"] if row["top1"] else -1.0)),
    )


def _row(known: Answers, name: str, base: Hits | None) -> Table:
    ablation, hits = known.ablation, known.of(name)
    cell, first = ablation.plan.all_cells()[name], ablation.folder(name, ablation.seeds[0])
    final = records.read_json(first / FINAL) if is_done(first) else {}
    compared = None if hits is None or base is None or name == ablation.plan.baseline else (hits, base)
    paired = None if compared is None else paired_difference(*compared)
    labels = ablation.opened.index.label[clips_of(ablation, known.split)]
    classes = None if compared is None else class_difference(*compared, labels)
    return {
        "name": name,
        "command": cell.command,
        "model": final.get("model"),
        "params": final.get("params"),
        "teachers": list(cell.teachers),
        "init": cell.init,
        "settings": list(effective(cell.set)),
        "top1": None if hits is None else dataclasses.asdict(spread(hits)),
        "difference": None if paired is None else records.to_dict(paired),
        "mean_class": None if hits is None else dataclasses.asdict(spread(by_class(hits, labels))),
        "class_difference": None if classes is None else records.to_dict(classes),
        "hits": None if hits is None else [as_digits(row) for row in hits],
    }


def _prepared(ablation: Ablation, name: str) -> Table:
    path = ablation.place(name)
    final = records.read_json(path / FINAL) if is_done(path) else {}
    kept = {key: final[key] for key in ("model", "params", "epochs", "seed") if key in final}
    val = {"val_top1": final["val"]["top1"]} if "val" in final else {}
    return {"run": str(path), "done": bool(final), **kept, **val}


def _described(what: Table) -> str:
    if not what["done"]:
        return "not made yet"
    top1 = f", {what['val_top1']}% on validation" if "val_top1" in what else ""
    return f"{what['model']}, {what['params']:,} parameters{top1} ({what['run']})"


def _spread(row: Table, name: str = "top1") -> str:
    found = row[name]
    return "not run yet" if found is None else f"{found['mean']:.2f} ± {found['std']:.2f}"


def _each(row: Table) -> str:
    hits = row["hits"] or []
    return ", ".join(f"{100 * one.count('1') / len(one):.2f}" for one in hits)
