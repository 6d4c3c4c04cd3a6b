"""A translator's graphs in 8 bits: products, whose ranges come from clips, and tables, which are only stored so.

Both graphs are made; what is shipped is decided by people who judge.
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes
from onnxscript.rewriter import RewriteRule, RewriteRuleSet

from last_edge.bundle.bundle import Bundle
from last_edge.bundle.manifest import INPUT_NAME, decoder_file, encoder_file
from last_edge.clips.store import ClipStore
from last_edge.clips.windows import padded, sentence_points
from last_edge.errors import UsageError
from last_edge.export.int8 import qdq
from last_edge.export.int8.evaluator import sentence_milliseconds
from last_edge.export.int8.kernel_form import array, constant, name_of
from last_edge.export.int8.plan import Made, Parts, Plan, Report, Row, draft, parts_of
from last_edge.export.int8.quantize import USUAL_METHOD
from last_edge.export.int8.ranges import Feed, Method, ranges_over
from last_edge.export.proof.evaluate import DeployedTranslator
from last_edge.names import check_known
from last_edge.runtime.recognise.model import Settings
from last_edge.runtime.translator import OnnxDecoder, RecordingSession, Translator
from last_edge.tasks.config import QuantizeConfig
from last_edge.tasks.registry import TRANSLATION
from last_edge.tasks.task import Candidate, Clips, require_gates
from last_edge.text import search

INT8 = "int8"
ENCODER, DECODER = encoder_file(INT8), decoder_file(INT8)
CANDIDATES = ((ENCODER, DECODER), (ENCODER,))
"""What may be shipped, the best first: without an 8-bit decoder the float one serves both encoders."""
HINT = "--keep-float encoder/NODE, or other limits with --set quantize.…"
TIMED, BATCH = 5, 16


class TranslatorRounding:
    """See `Rounding`. The gates are held on the val split or on training people kept apart."""

    precision = INT8
    names: tuple[str, ...] = (ENCODER, DECODER)

    def __init__(self, bundle: Bundle, store: ClipStore, plan: Plan) -> None:
        self.bundle, self.store, self.plan = bundle, store, plan
        self.method = plan.options.method or USUAL_METHOD
        self._kept: dict[str, list[str]] = {"encoder": [], "decoder": []}
        for name in plan.options.keep_float:
            part, _, node = name.partition("/")
            if part not in self._kept or not node:
                raise UsageError("a translator has two graphs", expected="encoder/NODE or decoder/NODE", got=name)
            self._kept[part].append(node)

    def foreseen(self) -> dict[str, Any]:
        parts = self._parts()
        return {"clips_for_calibration": len(parts.calibration), "clips_that_judge": len(parts.judging)}

    def _parts(self) -> Parts:
        return parts_of(self.store, count=self.plan.count, seed=self.plan.seed, run=self.plan.run, task=TRANSLATION)

    def make(self, clips: Clips, *, threads: int, report: Report) -> Made:
        """See `Rounding`: the first candidate that holds every gate before the judges, else the first."""
        bundle, store, parts = self.bundle, self.store, self._parts()
        both = self._both(parts.calibration)
        limits, wanted = self.plan.gates or QuantizeConfig(), TRANSLATION.wanted(store, parts.judging)
        floats = DeployedTranslator(bundle, "fp32", settings=Settings(threads))
        said = floats.answers(store, parts.judging)
        from_short_to_long = parts.judging[np.argsort(store.index.length[parts.judging], kind="stable")]
        places = np.linspace(0, len(parts.judging) - 1, min(TIMED, len(parts.judging))).astype(int)
        timed = [sentence_points(store, int(clip), bundle.manifest.input.frames) for clip in from_short_to_long[places]]
        trials = []
        for names in CANDIDATES:
            files = {name: both[name] for name in names}
            tried = DeployedTranslator(draft(bundle, files, without=self.names), INT8, settings=Settings(threads))
            pair = {"fp32": floats.translator, INT8: tried.translator}
            spent = sentence_milliseconds(pair, timed, threads=threads)
            candidate = Candidate(
                reference=said, answers=tried.answers(store, parts.judging), size=sum(map(len, files.values())),
                weights=sum(weight_count(bundle.read(name.replace(INT8, "fp32"))) for name in names),
                reference_ms=spent["fp32"], ms=spent[INT8],
            )  # fmt: skip
            trials.append((files, tried, TRANSLATION.gates(candidate, wanted, limits)))
            if all(gate.holds for gate in trials[-1][2]):
                break
        holding = [trial for trial in trials if all(gate.holds for gate in trial[2])]
        files, chosen, gates = (holding or trials)[0]
        if self.plan.gates is not None:
            require_gates(gates, where=bundle.path, hint=HINT)
        answers = {"fp32": floats.answers(store, clips), INT8: chosen.answers(store, clips)}
        table: list[Row] = [
            {"files": " ".join(names), **{gate.name: round(gate.got, 3) for gate in held}} for names, _, held in trials
        ]
        report("candidates", table)
        options = dataclasses.replace(self.plan.options, method=self.method)
        return Made(files, parts.calibration, options, answers, gates, {"candidates": table})

    def _both(self, clips: Clips) -> dict[str, bytes]:
        """Both files in 8 bits, ranges from these clips."""
        translator = Translator.of(self.bundle, precision="fp32")
        feeds = {
            "encoder": (ENCODER, encoder_feeds(self.store, clips, frames=translator.spec.frames)),
            "decoder": (DECODER, decoder_feeds(translator, self.store, clips)),
        }
        options = self.plan.options
        return {
            name: int8_graph(
                self.bundle.read(name.replace(INT8, "fp32")), fed, method=self.method,
                percentile=options.percentile, keep_float=self._kept[part],
            )
            for part, (name, fed) in feeds.items()
        }  # fmt: skip


def int8_graph(
    graph: bytes, feeds: Iterable[Feed], *, method: Method, percentile: float, keep_float: Collection[str] = ()
) -> bytes:
    """The 8-bit graph of an encoder's or decoder's FP32 one, ranges from what it is fed.

    Products with weights read unsigned 8-bit values and signed 8-bit weights, a scale an output channel, and write
    float. Products of attention, softmax, norms and sums are float. The stem's convolutions, whose inputs differ in
    scale, and the tables that rows are taken from are 8 bits in the file and float when they run.
    keep_float: nodes that stay as they are.
    """
    model = ir.from_proto(onnx.load_from_string(graph))
    names = [str(node.name) for node in model.graph]
    for name in keep_float:
        check_known(name, names, "node")
    # The table that scores sub-words is the one that embeds them, turned: a transposed constant is made one.
    turn = RewriteRule(lambda op, table, perm: op.Transpose(table, perm=perm, _outputs=["turned"]), _turned, _is_stored)
    RewriteRuleSet([turn]).apply_to_model(model)
    products = {
        str(node.name) for node in model.graph
        if node.op_type == qdq.PRODUCT and str(node.inputs[1].name) in model.graph.initializers
    } - set(keep_float)  # fmt: skip
    ranges = ranges_over(
        ir.to_proto(model), feeds, method=method, percentile=percentile, kinds=(qdq.PRODUCT,), nodes=products
    )
    made = qdq.products_in_8_bits(model, ranges, qdq.target_named(qdq.USUAL_TARGET), products=products)

    def is_table(context: Any, table: ir.Value, rows: ir.Value, **_: Any) -> bool:
        """Whether a node takes rows of a large float table, and may; scales of such rows are a table of one column."""
        if not table.is_initializer() or name_of(rows) in keep_float:
            return False
        stored = array(table)
        wide = stored.ndim == 2 and stored.shape[1] > 1
        return bool(stored.dtype == np.float32 and wide and stored.size >= qdq.FEWEST_WEIGHTS)

    rows = RewriteRule(lambda op, table, at: op.Gather(table, at, _outputs=["rows"]), _rows_in_8_bits, is_table)
    RewriteRuleSet([rows]).apply_to_model(made)
    passes.RemoveUnusedNodesPass()(made)
    stem = {str(node.name) for node in made.graph if node.op_type == "Conv"} - set(keep_float)
    qdq.weights_in_8_bits(made.graph, stem, everywhere=True)
    return qdq.compact(made)


def weight_count(graph: bytes) -> int:
    """Numbers in a graph's float constants."""
    kinds = onnx.load_from_string(graph).graph.initializer
    return sum(int(np.prod(constant.dims)) for constant in kinds if constant.data_type == onnx.TensorProto.FLOAT)


def _is_stored(context: Any, table: ir.Value, **_: Any) -> bool:
    return table.is_initializer()


def _turned(op: Any, table: ir.Value, perm: ir.Attr, turned: ir.Value) -> ir.Value:
    return constant(op, str(turned.name), array(table).transpose(perm.as_ints()))


def _rows_in_8_bits(op: Any, table: ir.Value, at: ir.Value, rows: ir.Value) -> ir.Value:
    """Rows of a float table (K, D) as 8-bit rows times a scale a row."""
    name = name_of(rows)
    whole, scale = qdq.in_8_bits(array(table), keep=0)
    taken = op.Gather(constant(op, f"{name}/q", whole), at, axis=0)
    scales = op.Gather(constant(op, f"{name}/scale", scale), at, axis=0)
    return op.Mul(op.Cast(taken, to=ir.DataType.FLOAT), scales)


def encoder_feeds(store: ClipStore, clips: Clips, *, frames: int) -> Iterator[Feed]:
    """What an encoder is given of some clips, one at a time."""
    for clip in clips:
        yield {INPUT_NAME: sentence_points(store, int(clip), frames)[None]}


def decoder_feeds(translator: Translator, store: ClipStore, clips: Clips) -> Iterator[Feed]:
    """What a decoder is given, step by step, while some clips are translated."""
    ordered = clips[np.argsort(store.index.length[clips], kind="stable")]
    for start in range(0, len(ordered), BATCH):
        batch = ordered[start : start + BATCH]
        points = padded([sentence_points(store, int(clip), translator.spec.frames) for clip in batch])
        recorded = RecordingSession(translator.decoder)
        decoder = OnnxDecoder(recorded, translator.encode(points), translator.options.beam)
        search(decoder, len(points), translator.options)
        yield from recorded.feeds
