"""What the ONNX Runtime backends share: a session with the graph's one door, its options, and how buffers are fed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import INPUT_NAME, OUTPUT_NAME
from last_edge.errors import InputError
from last_edge.runtime.backends.base import Shape

Points = NDArray[np.float32]
Buffers = Literal["call", "bound", "reused"]
Provider = str | tuple[str, dict[str, str]]


@dataclass(frozen=True)
class OrtOptions:
    """How a session runs; none of it changes what it computes.

    spin: threads wait by spinning between calls; faster alone on a machine, ruinous beside others. arena: memory of
    tensors is kept from call to call. buffers: `call` hands arrays over with every call, `bound` binds them to the
    session first, `reused` copies into buffers bound once a batch size.
    """

    spin: bool = False
    arena: bool = True
    buffers: Buffers = "call"


def create_session(
    model: Path | bytes, *, threads: int, options: OrtOptions, providers: Sequence[Provider], where: str
) -> Any:
    """An `InferenceSession`; `InputError` when ONNX Runtime cannot load the model."""
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads, chosen.inter_op_num_threads = threads, 1
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "1" if options.spin else "0")
    chosen.enable_cpu_mem_arena = options.arena
    chosen.log_severity_level = 3
    content = str(model) if isinstance(model, Path) else model
    try:
        return onnxruntime.InferenceSession(content, chosen, providers=list(providers))
    except Exception as error:  # ONNX Runtime's own exceptions share no base class but this one
        raise InputError(
            "not a model that ONNX Runtime can load", where=where, got=str(error).split("\n")[0]
        ) from error


def door(session: Any, *, where: str) -> Shape:
    """Shape of the one input `landmarks`, None for a free axis; `InputError` when the names are others."""
    inputs, outputs = ([node.name for node in nodes] for nodes in (session.get_inputs(), session.get_outputs()))
    if inputs != [INPUT_NAME] or OUTPUT_NAME not in outputs:
        raise InputError(
            "the model has other inputs or outputs",
            where=where,
            expected=f"{INPUT_NAME} → {OUTPUT_NAME}",
            got=(inputs, outputs),
        )
    return tuple(size if isinstance(size, int) else None for size in session.get_inputs()[0].shape)


def doors(session: Any, *, where: str) -> dict[str, Shape]:
    """As `door`, of a graph that may have a second input: shapes by name, `landmarks` first."""
    inputs = {node.name: tuple(n if isinstance(n, int) else None for n in node.shape) for node in session.get_inputs()}
    if len(inputs) != 2 or next(iter(inputs)) != INPUT_NAME:
        return {INPUT_NAME: door(session, where=where)}
    return inputs


def caller(session: Any, buffers: Buffers) -> Callable[[Points], Points]:
    """A function from contiguous points (N, T, V, C) to logits (N, K)."""
    if buffers == "call":
        return lambda points: np.asarray(session.run([OUTPUT_NAME], {INPUT_NAME: points})[0], np.float32)
    return _Bound(session) if buffers == "bound" else _Reused(session)


class _Bound:
    """Binds the caller's array; the runtime allots the output."""

    def __init__(self, session: Any) -> None:
        self._session, self._binding = session, session.io_binding()

    def __call__(self, points: Points) -> Points:
        self._binding.bind_cpu_input(INPUT_NAME, points)
        self._binding.bind_output(OUTPUT_NAME, "cpu")
        self._session.run_with_iobinding(self._binding)
        return np.asarray(self._binding.copy_outputs_to_cpu()[0], np.float32)


class _Reused:
    """Input and output memory is allotted and bound once for each batch size."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._classes = int(next(node for node in session.get_outputs() if node.name == OUTPUT_NAME).shape[-1])
        self._bound: dict[int, tuple[Any, Points, Points]] = {}

    def __call__(self, points: Points) -> Points:
        binding, source, result = self._bound.get(len(points)) or self._bind(points)
        np.copyto(source, points)
        self._session.run_with_iobinding(binding)
        return result.copy()

    def _bind(self, points: Points) -> tuple[Any, Points, Points]:
        from onnxruntime import OrtValue

        source, result = np.empty_like(points), np.empty((len(points), self._classes), np.float32)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(INPUT_NAME, OrtValue.ortvalue_from_numpy(source))
        binding.bind_ortvalue_output(OUTPUT_NAME, OrtValue.ortvalue_from_numpy(result))
        return self._bound.setdefault(len(points), (binding, source, result))
