"""Presets of quantisation: which 8-bit format runs where."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from last_edge.errors import UsageError
from last_edge.names import did_you_mean


@dataclass(frozen=True)
class Target:
    """One 8-bit format; weights are signed and symmetric, a scale a channel, everywhere.

    signed: activations are s8, else u8. symmetric: their zero point is 0. quantize_bias: biases become int32.
    seven_bit_weights: leave a bit of the products' sums. kernel_form: rewrite the graph as `int8_form` does. explicit:
    nothing but a DequantizeLinear reads what is stored in 8 bits. machines: the processors, as `platform.machine` calls
    them, on which its speed says something; None for all. why: for people.
    """

    name: str
    why: str
    signed: bool = False
    symmetric: bool = False
    quantize_bias: bool = True
    seven_bit_weights: bool = False
    kernel_form: bool = True
    explicit: bool = False
    machines: tuple[str, ...] | None = None

    @property
    def runs_here(self) -> bool:
        """Whether this machine's processor is one that the format is made for."""
        return self.machines is None or platform.machine().lower() in self.machines

    @property
    def precision(self) -> str:
        """What the bundle calls the file of this target: `int8` for the usual one."""
        return "int8" if self.name == USUAL_TARGET else f"int8-{self.name}"


USUAL_TARGET = "cpu-vnni"
TARGETS = {
    target.name: target
    for target in (
        Target("cpu-vnni", "x86 with AVX-VNNI or AMX multiplies u8 by s8"),
        Target("arm64", "ARMv8 dot products multiply s8 by s8", signed=True, machines=("aarch64", "arm64")),
        Target(
            "tensorrt",
            "TensorRT takes symmetric s8 in explicit Q/DQ pairs and float biases",
            signed=True,
            symmetric=True,
            quantize_bias=False,
            kernel_form=False,
            explicit=True,
            machines=(),
        ),
        Target("web", "WASM's relaxed dot product is exact for 7-bit weights alone", seven_bit_weights=True),
    )
}


def target_named(name: str) -> Target:
    """A preset; `UsageError` with the nearest names when unknown."""
    if name not in TARGETS:
        raise UsageError(f"unknown target {name!r}", expected=did_you_mean(name, TARGETS))
    return TARGETS[name]
