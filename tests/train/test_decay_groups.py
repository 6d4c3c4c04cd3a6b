"""Which parameters of which model weight decay takes hold of: convolution and linear weights, nothing else."""

from __future__ import annotations

from collections import Counter

import pytest
from torch import nn

from last_edge.errors import InputError
from last_edge.inputs import InputSpec
from last_edge.models import create_model, model_names
from last_edge.skeleton import Layout
from last_edge.tasks.config import TrainingConfig
from last_edge.train.optimizer import build_optimizer, decay_groups, load_optimizer

# Parameters by kind of module and name: those that decay, then batch norms (weight and bias each), then the rest.
DECAY = {
    "last_e_nano": (30, 7), "last_e_small": (46, 11), "last_e_base": (54, 15), "last_e_large": (54, 15),
    "last_lite_nano": (18, 1), "last_lite_small": (26, 1), "last_lite_trim": (26, 1),
    "last_v2_small": (75, 9), "last_v2_base": (95, 21), "last_v2_large": (123, 25),
    "pose_transformer_small": (0, 20), "pose_transformer_medium": (0, 26), "pose_transformer_large": (0, 38),
    "hybrid_nslt": (0, 16), "point_kernel": (0, 2),
}  # fmt: skip
NORMS = {
    "last_e_nano": 28, "last_e_small": 40, "last_e_base": 46, "last_e_large": 46,
    "last_lite_nano": 22, "last_lite_small": 30, "last_lite_trim": 30,
    "last_v2_small": 48, "last_v2_base": 56, "last_v2_large": 72,
    "pose_transformer_small": 0, "pose_transformer_medium": 0, "pose_transformer_large": 0,
    "hybrid_nslt": 0, "point_kernel": 0,
}  # fmt: skip
FREE = {
    "last_e_nano": {"edge": 3, "MotionGate.alpha": 3, "JointAttention.alpha": 3, "pool_gate": 1, "Linear.bias": 1},
    "last_e_small": {
        "edge": 5, "MotionGate.alpha": 5, "JointAttention.alpha": 5, "SubsetGate.weight": 5, "pool_gate": 1,
        "Linear.bias": 1,
    },
    "last_e_base": {
        "edge": 6, "MotionGate.alpha": 6, "JointAttention.alpha": 6, "SubsetGate.weight": 6, "pool_gate": 1,
        "Linear.bias": 3,
    },
    "last_e_large": {
        "edge": 6, "MotionGate.alpha": 4, "HybridGate.alpha": 2, "JointAttention.alpha": 6, "SubsetGate.weight": 6,
        "pool_gate": 1, "Linear.bias": 3,
    },
    "last_lite_nano": {"pool_gate": 1, "Linear.bias": 1},
    "last_lite_small": {"pool_gate": 1, "Linear.bias": 1},
    "last_lite_trim": {"pool_gate": 1, "Linear.bias": 1},
    "last_v2_small": {"A_learned": 10, "JointAttention.alpha": 10, "Conv2d.bias": 3, "Linear.bias": 5},
    "last_v2_base": {"A_learned": 14, "JointAttention.alpha": 14, "Conv2d.bias": 3, "Linear.bias": 11},
    "last_v2_large": {"A_learned": 18, "JointAttention.alpha": 18, "Conv2d.bias": 3, "Linear.bias": 13},
    "pose_transformer_small": {
        "cls": 1, "positions": 1, "Linear.bias": 20, "LayerNorm.weight": 7, "LayerNorm.bias": 7,
    },
    "pose_transformer_medium": {
        "cls": 1, "positions": 1, "Linear.bias": 26, "LayerNorm.weight": 9, "LayerNorm.bias": 9,
    },
    "pose_transformer_large": {
        "cls": 1, "positions": 1, "Linear.bias": 38, "LayerNorm.weight": 13, "LayerNorm.bias": 13,
    },
    "hybrid_nslt": {"Linear.bias": 16, "LayerNorm.weight": 6, "LayerNorm.bias": 6},
    "point_kernel": {"Linear.bias": 1},
}  # fmt: skip
UNIQUE = ("edge", "pool_gate", "A_learned", "stream_weights", "cls", "positions")


def kind(module: nn.Module) -> str:
    """Class of a module; all convolutions are alike."""
    return "Conv2d" if isinstance(module, nn.Conv2d) else type(module).__name__


def kinds(layout: Layout, name: str, **options: object) -> dict[str, Counter[str]]:
    """Group -> how many parameters of each kind: class and name of a parameter, or its name where that is enough."""
    model = create_model(name, spec=InputSpec(layout, frames=16), classes=3, **options)
    modules = dict(model.named_modules())
    counted: dict[str, Counter[str]] = {}
    for group, parameters in decay_groups(model).items():
        parts = [parameter.rpartition(".") for parameter in parameters]
        named = [last if last in UNIQUE else f"{kind(modules[owner])}.{last}" for owner, _, last in parts]
        counted[group] = Counter(named)
    return counted


@pytest.mark.parametrize("name", model_names())
def test_every_parameter_is_in_its_group(ntu25: Layout, name: str) -> None:
    got = kinds(ntu25, name)
    convolutions, linear = DECAY[name]
    assert got["decay"] == Counter({"Conv2d.weight": convolutions, "Linear.weight": linear})
    norms = {kind: count for kind, count in got["no_decay"].items() if kind.startswith("BatchNorm")}
    weights, biases = (sum(n for kind, n in norms.items() if kind.endswith(end)) for end in (".weight", ".bias"))
    assert weights == biases == NORMS[name]
    assert {kind: count for kind, count in got["no_decay"].items() if kind not in norms} == FREE[name]


def test_a_state_of_other_groups_is_refused(ntu25: Layout) -> None:
    model = create_model("last_e_small", spec=InputSpec(ntu25, frames=16), classes=3)
    optimizer = build_optimizer(model, TrainingConfig())
    state = optimizer.state_dict()
    load_optimizer(optimizer, state)
    one, other = state["param_groups"]
    moved = [{**one, "params": [*one["params"], 1000]}, {**other, "params": other["params"][1:]}]
    with pytest.raises(InputError, match="other groups"):
        load_optimizer(optimizer, {**state, "param_groups": moved})
