"""Proving a report: no file changed, every figure rebuilt from artefacts and data, no choice made on the test split."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from last_edge import records
from last_edge.bundle import Bundle
from last_edge.bundle.bundle import read_archive
from last_edge.clips.store import ClipStore
from last_edge.data.gates import run_gates
from last_edge.data.inspect import near_duplicates
from last_edge.errors import GateError, InputError, LastEdgeError
from last_edge.export.proof.verify import Check, verify_bundle
from last_edge.files import sha256_of
from last_edge.names import some
from last_edge.tools.bench.record import BenchRecord
from last_edge.tools.report.build import Asked, build, with_records
from last_edge.tools.report.collect import Collection, RunResult, collect, with_accuracy
from last_edge.tools.report.render import Report, to_html, to_markdown
from last_edge.train.evaluate import evaluate_run
from last_edge.train.run import validation_score

POINTS = 0.1
"""By so many points a share in percent may come out different."""
SHARES = frozenset(("top1", "top3", "top5", "mean_class", "ece", "bleu4", "wer", "difference", "interval", "points",
                    "per_class", "per_subject", "confidence", "right", "same_answers"))  # fmt: skip
OWN_WORDS = ("made", "environment", "command", "last_edge", "title")
"""What no artefact says."""
LEAKS = ("splits", "people", "equal clips", "equal ids", "leaks", "variants", "copies")
MOST_TOLD = 12


@dataclass(frozen=True)
class StoreFacts:
    """What a report says of a store."""

    sha256: str
    layout: str
    clips: int


@dataclass(frozen=True)
class MadeOf:
    """What a report says it was made of, from which it is made again."""

    asked: Asked
    files: dict[str, str]
    stores: dict[str, StoreFacts]
    timed: tuple[BenchRecord, ...]
    title: str
    environment: dict[str, str | float | dict[str, str | None] | None]


def verify_report(path: Path, stores: Sequence[Path] = ()) -> list[Check]:
    """Every check of a report, failed ones too.

    stores: where the data lie now, in the place of those that the report names. Latencies are held to their records,
    which no file can prove. Raises `InputError` where it is no report, `GateError` for one of an older kind.
    """
    said = records.read_json(path)
    if not isinstance(said, dict) or not {"rows", "runs", "bundles"} <= said.keys():
        raise InputError("not a report", where=path, expected="REPORT.json of `last-edge report`")
    if said.get("schema_version") != 2 or not said.get("asked"):
        raise GateError("this report does not tell what it was made of", where=path, hint="last-edge report")
    parts = [field.name for field in dataclasses.fields(MadeOf)]
    made_of = records.from_dict(MadeOf, {name: said[name] for name in parts if name in said}, where=path)
    asked = dataclasses.replace(made_of.asked, stores=tuple(map(str, stores)) or made_of.asked.stores)
    checks = list(_files(made_of))
    opened = [ClipStore.open(Path(name)) for name in asked.stores]
    checks += [check for store in opened for check in verify_data(store)]
    checks += _same_stores(made_of, opened)
    try:
        found = with_accuracy(collect([Path(name) for name in asked.paths]), opened)
    except LastEdgeError as error:
        return [*checks, Check("artefacts", False, error.render().replace("\n", ";"))]
    checks += [check for result in found.bundles for check in _bundle(result.path, opened)]
    checks += [check for run in found.runs for check in verify_run(run, opened)]
    rebuilt = list(_rebuilt(said, made_of, asked, found))
    return [*checks, *rebuilt, *_other_forms(path, said, found, whole=all(check.holds for check in rebuilt))]


def verify_data(store: ClipStore) -> list[Check]:
    """The store's bytes, and whether anything of one split comes back in another."""
    where = store.path.name
    try:
        store.verify()
    except InputError as error:
        return [Check(f"{where} bytes", False, error.render().replace("\n", ";"))]
    gates = run_gates(store, pairs=near_duplicates(store))
    return [
        Check(f"{where} bytes", True, f"sha256 {store.sha256[:12]}"),
        *(
            Check(f"{where} {gate.name}", gate.passed is not False, "; ".join((gate.found, *gate.clips)))
            for gate in gates
            if gate.name in LEAKS
        ),
    ]


def verify_run(run: RunResult, stores: Sequence[ClipStore]) -> Iterator[Check]:
    """How a run chose its checkpoint, and with its store its figures measured again."""
    yield _chosen(run)
    columns = sorted({name for row in run.history for name in row if "test" in name})
    detail = f"test figures every epoch: {columns}" if columns else "no test figure"
    yield Check(f"{run.path} epochs", not columns, detail)
    if not run.final:
        return
    for store in (store for store in stores if store.sha256 == run.final.get("store_sha256")):
        held = set(map(str, run.final.get("val_subjects", ())))
        tests = set(map(str, store.index.subject[store.select(split="test")])) & held
        detail = f"validated on people of the test split: {sorted(tests)}" if tests else f"{len(held)} training people"
        yield Check(f"{run.path} validation", not tests, detail)
        if "test" in run.final and "top1" in run.final["test"]:
            yield from _measured(run, store)


def _chosen(run: RunResult) -> Check:
    """Whether the chosen checkpoint is the best, or the last, by its own history."""
    name = f"{run.path} choice"
    scored = [row for row in run.history if "val_loss" in row]
    if not run.best or not run.history:
        return Check(name, True, "no checkpoint yet")
    allowed = {f"epoch-{int(run.history[-1]['epoch']):04d}": "the last"}
    if scored and "select: last" not in run.recipe:
        best = max(scored, key=lambda row: (validation_score(row), row["epoch"]))
        allowed = {f"epoch-{int(best['epoch']):04d}": "the best on validation"}
    if run.best in allowed:
        return Check(name, True, f"{run.best} is {allowed[run.best]}")
    return Check(name, False, f"{run.best}, not {next(iter(allowed))}, which its validation chooses")


def _measured(run: RunResult, store: ClipStore) -> Iterator[Check]:
    try:
        now = evaluate_run(run.path, store)
    except LastEdgeError as error:
        yield Check(f"{run.path} figures", False, error.what)
        return
    wrong = list(differences(run.final["test"], {name: now.get(name) for name in run.final["test"]}, "test"))
    detail = "; ".join(wrong[:MOST_TOLD]) if wrong else f"top-1 {now['top1']:g} of {now['n']} clips"
    yield Check(f"{run.path} figures", not wrong, detail)


def _files(made_of: MadeOf) -> Iterator[Check]:
    for name, expected in made_of.files.items():
        path = Path(name)
        got = _sha256(path)
        detail = f"sha256 {expected[:12]}" if got == expected else "bytes have changed" if got else "not there"
        yield Check(name, got == expected, detail)


def _sha256(path: Path) -> str:
    """Of a file, or of a member of a bundle's archive that stands where its folder would; "" where neither is."""
    if path.is_file():
        return sha256_of(path)
    content = read_archive(path.parent).get(path.name) if path.parent.is_file() else None
    return "" if content is None else hashlib.sha256(content).hexdigest()


def _same_stores(made_of: MadeOf, opened: Sequence[ClipStore]) -> Iterator[Check]:
    here = {store.sha256 for store in opened}
    for name, facts in made_of.stores.items():
        holds = facts.sha256 in here
        yield Check(f"data {name}", holds, f"{facts.sha256[:12]} is {'' if holds else 'not '}among the stores")


def _bundle(path: Path, stores: Sequence[ClipStore]) -> Iterator[Check]:
    """A bundle's own checks, on the store that its figures are of where that is at hand."""
    manifest = Bundle.open(path).manifest
    measured_on = {str(figures.get("store_sha256")) for figures in manifest.metrics.values()}
    store = next((store for store in stores if store.sha256 in measured_on), None)
    for check in verify_bundle(path, store):
        yield dataclasses.replace(check, name=f"{path} {check.name}")


def _rebuilt(said: Report, made_of: MadeOf, asked: Asked, found: Collection) -> Iterator[Check]:
    """The report made again: each figure that comes out differently is told by its place in the JSON."""
    fresh = with_records(found, list(made_of.timed))
    try:
        again = build(asked, fresh, title=made_of.title, environment=made_of.environment)
    except LastEdgeError as error:
        yield Check("rebuilt", False, error.what)
        return
    plain = json.loads(records.as_json(again))
    skipped = {*OWN_WORDS, "asked", "stores", "files", "timed"}
    parts = sorted((said.keys() | plain.keys()) - skipped)
    for part in parts:
        wrong = list(differences(said.get(part), plain.get(part), part))
        yield Check(f"report {part}", not wrong, some(wrong, MOST_TOLD, between="; ") or "rebuilt")
    for record in made_of.timed:
        if record.artefact_sha256 in found.bench:
            same = record in found.bench[record.artefact_sha256]
            detail = "as in bench.json" if same else "not as in bench.json"
            yield Check(f"{record.artefact} {record.file} latency", same, detail)


def _other_forms(path: Path, said: Report, found: Collection, *, whole: bool) -> Iterator[Check]:
    """Whether the Markdown and the HTML beside it say what the JSON says, where that is `whole` as it was made."""
    drawn: dict[str, Callable[[], str]] = {".md": lambda: to_markdown(said), ".html": lambda: to_html(said, found)}
    for suffix, draw in drawn.items():
        page = path.with_suffix(suffix)
        if not page.is_file():
            continue
        if not whole:
            yield Check(page.name, False, "not held against the JSON, which is not what was made")
            continue
        same = page.read_text(encoding="utf-8") == draw()
        yield Check(page.name, same, "says what the JSON says" if same else "says something else than the JSON")


def differences(said: Any, now: Any, where: str, *, share: bool = False) -> Iterator[str]:
    """Each place where two JSON values differ: shares by more than 0.1 points, everything else at all."""
    if isinstance(said, Mapping) and isinstance(now, Mapping):
        for name in sorted(said.keys() | now.keys(), key=str):
            if name not in said or name not in now:
                yield f"{where}.{name} {'is missing' if name not in said else 'is made up'}"
            else:
                yield from differences(said[name], now[name], f"{where}.{name}", share=share or name in SHARES)
    elif isinstance(said, list) and isinstance(now, list | tuple):
        if len(said) != len(now):
            yield f"{where} has {len(said)} entries, rebuilt {len(now)}"
            return
        for index, (one, other) in enumerate(zip(said, now, strict=True)):
            yield from differences(one, other, f"{where}[{index}]", share=share)
    elif isinstance(said, float | int) and isinstance(now, float | int) and not isinstance(said, bool):
        most = POINTS + 1e-9 if share else 1e-6 * abs(now)
        if not math.isfinite(said) or abs(said - now) > most:
            yield f"{where} {said}, rebuilt {now}"
    elif said != now:
        yield f"{where} {said!r}, rebuilt {now!r}"
