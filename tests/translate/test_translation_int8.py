"""A translator in 8 bits: what is rounded and what is not, who finds the ranges, who judges, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from last_edge.bundle import Bundle
from last_edge.bundle.manifest import KEPT, MEMORY, PAST, POSITION, TOKEN
from last_edge.clips import ClipStore
from last_edge.export.int8 import translation_int8
from last_edge.export.int8.plan import parts_of
from last_edge.export.int8.translation_int8 import int8_graph, weight_count
from last_edge.export.onnx.onnx_graph import to_bytes
from last_edge.export.onnx.session import open_session
from last_edge.inputs import InputSpec
from last_edge.models.sign2text import create_translator
from last_edge.runtime.translator import Translator
from last_edge.skeleton import Layout
from last_edge.tasks.registry import TRANSLATION
from last_edge.tools.cli import main

LOOSE = ["--set", "quantize.min_speedup=0", "--set", "quantize.max_bytes_fixed=200000"]


@pytest.fixture
def plain(run: Path, bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, FP32 alone."""
    (copy := tmp_path / "copy").mkdir()
    for file in bundle.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_eval_and_verify_read_the_8_bit_files(
    quantised: Path, sentences: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = Bundle.open(quantised).manifest
    assert {"encoder.int8.onnx", "decoder.int8.onnx"} <= manifest.files.keys()
    told, plain = manifest.metrics["int8"], manifest.metrics["fp32"]
    assert abs(float(told["bleu4"]) - float(plain["bleu4"])) < 3 and told["n"] == plain["n"] == 40
    assert main(["eval", str(quantised), "--store", str(sentences), "--precision", "int8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bleu4"] == told["bleu4"]
    assert main(["verify", str(quantised), "--store", str(sentences), "--json"]) == 0
    checked = {row["name"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert {"int8 golden", "int8 bleu4", "parity fp32:int8 on test"} <= checked


def test_translate_takes_int8_where_it_is(quantised: Path, bundle: Path, sentences: Path) -> None:
    points = ClipStore.open(sentences).points(3)[0][None]
    first = {name: Translator.open(quantised, precision=name).first_logits(points) for name in ("fp32", "int8", None)}
    assert np.array_equal(first[None], first["int8"]) and not np.array_equal(first["fp32"], first["int8"])
    assert np.array_equal(Translator.open(bundle, precision=None).first_logits(points), first["fp32"])


def test_ranges_come_from_training_people_and_others_judge(quantised: Path, sentences: Path) -> None:
    store, manifest = ClipStore.open(sentences), Bundle.open(quantised).manifest
    who = dict(zip(store.index.source_id.tolist(), store.index.subject.astype(str).tolist(), strict=True))
    assert len(manifest.calibration_ids) == 30 and manifest.calibration["store_sha256"] == store.sha256
    people = {who[name] for name in manifest.calibration_ids}
    parts = parts_of(store, count=30, seed=0, task=TRANSLATION)
    judges = set(store.index.subject[parts.judging].astype(str).tolist())
    assert "4" not in people | judges and people and judges and not people & judges


def test_products_with_weights_are_rounded_and_attention_is_not(quantised: Path) -> None:
    for name, products in (("encoder", 2 * 6 + 2 * 2), ("decoder", 2 * 8 + 1)):
        graph = onnx.load(quantised / f"{name}.int8.onnx").graph
        made_by = {output: node.op_type for node in graph.node for output in node.output}
        rounded = [node for node in graph.node if made_by.get(node.input[0]) == "DequantizeLinear"]
        assert [node.op_type for node in rounded] == ["MatMul"] * products
        softmax = [node for node in graph.node if node.op_type == "Softmax"]
        assert softmax and all(made_by[node.input[0]] == "Add" for node in softmax)
        floats = [np.prod(c.dims) for c in graph.initializer if c.data_type == onnx.TensorProto.FLOAT]
        assert max(floats, default=0) <= 40 * 32  # positions, biases, scales
        weights = [numpy_helper.to_array(c) for c in graph.initializer if c.data_type == onnx.TensorProto.INT8]
        assert sum(weight.size >= 64 for weight in weights) >= products


def test_what_misses_a_limit_is_not_shipped(plain: Path, sentences: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file.name: file.read_bytes() for file in plain.iterdir()}
    command = ["quantize", str(plain), "--store", str(sentences), "--clips", "8", *LOOSE]
    assert main([*command, "--set", "quantize.min_speedup=1000"]) == 4
    error = capsys.readouterr().err
    assert all(name in error for name in ("drop of BLEU-4", "equal sentences", "bytes", "FAILED", "quantize."))
    assert {file.name: file.read_bytes() for file in plain.iterdir()} == before


def test_a_decoder_that_does_not_hold_stays_float(
    plain: Path, sentences: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoilt(graph: bytes, feeds: Any, **options: Any) -> bytes:
        made = onnx.load_from_string(int8_graph(graph, feeds, **options))
        if any(value.name == TOKEN for value in made.graph.input):
            for constant in made.graph.initializer:
                if constant.data_type == onnx.TensorProto.INT8 and len(constant.dims) == 2:
                    zeros = np.zeros(tuple(constant.dims), np.int8)
                    constant.CopyFrom(numpy_helper.from_array(zeros, constant.name))
        return bytes(made.SerializeToString())

    monkeypatch.setattr(translation_int8, "int8_graph", spoilt)
    assert main(["quantize", str(plain), "--store", str(sentences), "--clips", "8", *LOOSE, "--json"]) == 0
    tried = json.loads(capsys.readouterr().out)["tables"]["candidates"]
    assert [row["files"] for row in tried] == ["encoder.int8.onnx decoder.int8.onnx", "encoder.int8.onnx"]
    assert "decoder.int8.onnx" not in Bundle.open(plain).manifest.files
    assert main(["verify", str(plain), "--store", str(sentences)]) == 0


@pytest.mark.parametrize(
    ("flags", "code", "named"),
    [
        (["--qat"], 2, "--qat is for classifiers"),
        (["--target", "arm64"], 2, "--target is for classifiers"),
        (["--compare"], 2, "--compare is for classifiers"),
        (["--keep-float", "auto"], 2, "--keep-float auto is for classifiers"),
        (["--keep-float", "MatMul_9"], 2, "encoder/NODE"),
        (["--keep-float", "encoder/Nothing_9"], 2, "unknown node"),
        (["--split", "val"], 3, "no clips with text"),
    ],
)
def test_what_does_not_apply_is_refused(
    plain: Path, sentences: Path, capsys: pytest.CaptureFixture[str], flags: list[str], code: int, named: str
) -> None:
    assert main(["quantize", str(plain), "--store", str(sentences), "--clips", "4", *flags]) == code
    assert named in capsys.readouterr().err


def test_an_8_bit_file_is_replaced_by_force_alone(
    quantised: Path, sentences: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["quantize", str(quantised), "--store", str(sentences), "--dry-run", "--json"]
    assert main(command) == 2 and "--force" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["clips_that_judge"] == 40 and planned["clips_for_calibration"] == 80


def test_one_table_that_embeds_and_scores_shrinks_too(toy_layout: Layout) -> None:
    spec = InputSpec(toy_layout, frames=40, resample="pad")
    options = {"width": 32, "heads": 4, "hidden": 64, "longest": 10, "tied": True}
    model = create_translator("sign2text_v4", spec=spec, tokens=600, **options).eval()
    graph = to_bytes(TRANSLATION.graphs(model, name="tiny")[1], metadata={})
    random = np.random.default_rng(0)

    def fed(count: int) -> dict[str, Any]:
        keys = {name: random.normal(size=(3, 2, 4, count, 8)).astype(np.float32) for name in (*PAST, *MEMORY[:2])}
        tokens = {TOKEN: random.integers(0, 600, 3), POSITION: np.array([count])}
        return tokens | keys | {MEMORY[2]: np.ones((3, count), np.float32)}

    small = int8_graph(graph, [fed(count) for count in (1, 4, 7)], method="minmax", percentile=99.99)
    assert len(small) < 0.5 * len(graph) and weight_count(small) < 0.1 * weight_count(graph)
    feed = fed(5)
    one, other = (open_session(content).run(["logits", *KEPT], feed) for content in (graph, small))
    assert one[0].shape == other[0].shape == (3, 600)
    assert np.abs(one[0] - other[0]).max() < 0.1 * np.abs(one[0]).max()
