"""Every registered model becomes an ONNX file that computes the same, for every kind of input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from last_edge.errors import GateError
from last_edge.export.bundles.sources import golden_inputs
from last_edge.export.int8.quantize import quantize_graph
from last_edge.export.onnx.onnx_graph import plain_onnx, to_onnx
from last_edge.export.onnx.session import logits_of
from last_edge.export.proof.parity import torch_logits
from last_edge.inputs import InputSpec
from last_edge.inputs.features import pick
from last_edge.models import create_model, model_names
from last_edge.skeleton import get_layout
from last_edge.tasks.class_learner import SOLVED

HANDS = InputSpec(get_layout("shrec22"), frames=16)
SPECS = {
    "two bodies": InputSpec(get_layout("ntu25"), frames=16, bodies=2, scale="limb"),
    "flat": InputSpec(get_layout("mediapipe_holistic75"), frames=16, channels=2, centre="frame", scale="limb"),
    "raw": InputSpec(get_layout("kinect20"), frames=16, centre="none", streams=("bone", "joint")),
}


# Of the largest logit. LAST-v2's probabilities are averaged in the log domain, and its attention divides by small sums.
TOLERANCES = {"last_v2": 2e-5}
FACED = InputSpec(
    get_layout("mediapipe_holistic83"), frames=16, centre="frame", scale="frame", streams=("joint",)
)  # fmt: skip


def check(name: str, spec: InputSpec, **options: Any) -> None:
    """FP32 within the tolerance, for one clip as for four; INT8 finite and not far, or refused where there is none."""
    torch.manual_seed(5)
    model = create_model(name, spec=spec, classes=5, **options).eval()
    head = model.body.head
    torch.nn.init.normal_(getattr(head, "fc", head).weight)  # the kernel's is a layer by itself
    inputs = golden_inputs(spec, model.features)
    expected = torch_logits(model, inputs)
    graph = to_onnx(model.deployed(), labels=tuple("abcde"), name=name)
    allowed = TOLERANCES.get(name.rpartition("_")[0], 1e-5) * np.abs(expected).max()
    np.testing.assert_allclose(logits_of(graph, inputs), expected, rtol=0, atol=allowed)
    np.testing.assert_allclose(logits_of(graph, pick(inputs, slice(1))), expected[:1], rtol=0, atol=allowed)
    if name in SOLVED:
        with pytest.raises(GateError, match="no convolution to round"):
            quantize_graph(graph, inputs)
        return
    int8 = logits_of(quantize_graph(graph, inputs), inputs)
    assert np.isfinite(int8).all() and np.abs(int8 - expected).max() < 0.2 * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", model_names())
def test_every_model(name: str) -> None:
    check(name, HANDS)


@pytest.mark.parametrize("name", ["last_v2_small", "last_e_nano", "last_lite_nano", "pose_transformer_small"])
def test_the_graph_as_trained_takes_any_number_of_clips(name: str) -> None:
    torch.manual_seed(5)
    model = create_model(name, spec=HANDS, classes=5).eval()
    inputs = golden_inputs(HANDS, model.features)
    graph, expected = plain_onnx(model, labels=tuple("abcde"), name=name), torch_logits(model, inputs)
    for some in (slice(1), slice(4)):
        np.testing.assert_allclose(logits_of(graph, pick(inputs, some)), expected[some], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_kind_of_input(spec: InputSpec) -> None:
    check("last_lite_nano", spec)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("last_lite_nano", {"act": "hardswish", "fusion": "softmax"}),
        ("last_lite_nano", {"bodies": "max"}),
        ("last_e_nano", {"act": "relu", "bodies": "mean"}),
        ("last_v2_small", {"bodies": "max"}),
    ],
)
def test_every_option(name: str, options: dict[str, Any]) -> None:
    check(name, SPECS["two bodies"], **options)


@pytest.mark.slow
@pytest.mark.parametrize("signer", [False, True])
def test_finger_features(signer: bool) -> None:
    check("pose_transformer_small", FACED, fingers=True, signer=signer)
