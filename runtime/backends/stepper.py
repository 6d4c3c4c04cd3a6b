"""A graph that answers at every frame, in ONNX Runtime: one frame of each person and their states, in and out."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from last_edge.bundle.manifest import ELAPSED_NAME, FRAME_NAME, NEXT_STATE, OUTPUT_NAME, STATE
from last_edge.errors import InputError, UsageError
from last_edge.runtime.backends.base import Backend, check_shape, name_of
from last_edge.runtime.backends.onnxruntime import (
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeTensorRT,
    OrtOptions,
    create_session,
)

Points = NDArray[np.float32]
Shape = tuple[int, ...]
FLOAT = "tensor(float)"
RUN_STREAMS = {backend.name: backend for backend in (OnnxRuntimeCpu, OnnxRuntimeCuda, OnnxRuntimeTensorRT)}


class StepAnswer(NamedTuple):
    """Of one frame. logits: (N, K). elapsed: (N,) seconds since what is shown began, 0 of a graph that does not say."""

    logits: NDArray[np.float32]
    elapsed: NDArray[np.float32]


class State(Mapping[str, NDArray[np.float32]]):
    """What is remembered of some people, (N, …) by name, as it is now; `Stepper.step` takes it a frame further.

    The graph reads one of two sets of arrays and writes the other, in turns, so nothing is allocated or copied between
    frames. An array that was taken out is overwritten two steps later.
    """

    def __init__(self, session: Any, people: int, *, frame: Shape, state: dict[str, Shape], given: dict[str, Shape]):
        self.frame = np.zeros((people, *frame), np.float32)
        self.given = {name: np.zeros((people, *shape), np.float32) for name, shape in given.items()}
        now, after = ({name: np.zeros((people, *shape), np.float32) for name, shape in state.items()} for _ in "12")
        self._turns = [(now, self._bound(session, now, after)), (after, self._bound(session, after, now))]

    @property
    def binding(self) -> Any:
        """Of the session: from the arrays as they are to the other ones."""
        return self._turns[0][1]

    def turn(self) -> None:
        """What was written is what is."""
        self._turns.reverse()

    def _bound(self, session: Any, now: dict[str, Points], after: dict[str, Points]) -> Any:
        binding = session.io_binding()
        inputs = {FRAME_NAME: self.frame} | {f"{STATE}{name}": array for name, array in now.items()}
        outputs = self.given | {f"{NEXT_STATE}{name}": array for name, array in after.items()}
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        return binding

    def __getitem__(self, name: str) -> Points:
        return self._turns[0][0][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._turns[0][0])

    def __len__(self) -> int:
        return len(self._turns[0][0])


class Stepper(Backend):
    """One loaded graph. frame_shape: (V, C). state_shapes: of one person's state, by name, in the graph's order.

    A state belongs to its person, not to the graph: one stepper serves any number of streams, and several people are a
    batch. A call takes whole clips and gives the logits of their last frames. Raises `UsageError` for a backend that
    runs no streams, `MissingError` without it, `InputError` for a graph that does not take one frame and a state and
    give logits and the next state.
    """

    package, module = OnnxRuntimeCpu.package, OnnxRuntimeCpu.module
    mend = OnnxRuntimeCpu.mend

    def __init__(
        self, model: Path | bytes, *, threads: int = 1, options: OrtOptions | None = None,
        backend: str = OnnxRuntimeCpu.name,
    ) -> None:  # fmt: skip
        if backend not in RUN_STREAMS:
            raise UsageError(f"{backend} runs no streams", expected=", ".join(RUN_STREAMS), got=backend)
        kind = RUN_STREAMS[backend]
        kind.require()
        self.name, self._where = backend, name_of(model)  # type: ignore[misc]
        self._session: Any = create_session(
            model, threads=threads, options=options or kind.usual, providers=kind.providers(), where=self._where
        )
        taken, made = self._session.get_inputs(), self._session.get_outputs()
        inputs, outputs = ({node.name: tuple(node.shape[1:]) for node in nodes} for nodes in (taken, made))
        if strange := [node.name for node in (*taken, *made) if node.type != FLOAT]:
            raise InputError("a graph of other numbers", where=self._where, expected=FLOAT, got=", ".join(strange))
        self.frame_shape = inputs.pop(FRAME_NAME, ())
        self.state_shapes = {name.removeprefix(STATE): shape for name, shape in inputs.items()}
        following = {name.removeprefix(NEXT_STATE) for name in outputs if name.startswith(NEXT_STATE)}
        self._given = {name: outputs[name] for name in (OUTPUT_NAME, ELAPSED_NAME) if name in outputs}
        shapes = (self.frame_shape, *inputs.values(), *self._given.values())
        fixed = all(isinstance(size, int) for shape in shapes for size in shape)
        if not self.frame_shape or not fixed or following != set(self.state_shapes) or OUTPUT_NAME not in outputs:
            raise InputError(
                "not a graph that answers at every frame", where=self._where,
                expected=f"{FRAME_NAME} and {STATE}… → {OUTPUT_NAME} and {NEXT_STATE}…", got=([*inputs], [*outputs]),
            )  # fmt: skip

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def start(self, people: int = 1) -> State:
        """The state before a person's first frame, one row a person: zeros."""
        return State(self._session, people, frame=self.frame_shape, state=self.state_shapes, given=self._given)

    def step(self, points: Points, state: State) -> tuple[StepAnswer, State]:
        """The answer to the next frame (N, V, C) of N people, NaN where missing, and their state, which is after it."""
        if points.shape != state.frame.shape:
            check_shape(points.shape, state.frame.shape, where=self._where)
        state.frame[:] = points
        self._session.run_with_iobinding(state.binding)
        state.turn()
        given = state.given
        elapsed = given[ELAPSED_NAME].copy() if ELAPSED_NAME in given else np.zeros(len(points), np.float32)
        return StepAnswer(given[OUTPUT_NAME].copy(), elapsed), state

    def sequences(self, points: Points) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """Logits (N, T, K) of whole clips (N, T, V, C) from their beginning, and the state after their last frame."""
        answer, state = self.frames(points)
        return answer.logits, state

    def frames(self, points: Points) -> tuple[StepAnswer, dict[str, NDArray[np.float32]]]:
        """As `sequences`, with the seconds too, (N, T)."""
        state, answers = self.start(len(points)), []
        for frame in range(points.shape[1]):
            answer, state = self.step(points[:, frame], state)
            answers.append(answer)
        logits, elapsed = (np.stack(parts, axis=1) for parts in zip(*answers, strict=True))
        return StepAnswer(logits, elapsed), {name: array.copy() for name, array in state.items()}

    def __call__(self, points: Points) -> NDArray[np.float32]:
        return np.asarray(self.sequences(points)[0][:, -1])


def stepping(stepper: Stepper, frames: Points, *, people: int = 1) -> Callable[[int], None]:
    """A call that takes the next of some frames (T, V, C), over and over, and carries the state on.

    people: so many of them in one call, all with the same points.
    """
    state, rows = stepper.start(people), np.repeat(frames[:, None], people, axis=1)

    def step(index: int) -> None:
        nonlocal state
        _, state = stepper.step(rows[index % len(rows)], state)

    return step
