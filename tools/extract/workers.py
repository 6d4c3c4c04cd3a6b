"""Who does the jobs: the processes of this machine, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from last_edge.errors import MissingError
from last_edge.tools.extract.plan import Job
from last_edge.tools.extract.video import Outcome, extract

CRASHED = "the process that read it ended without a word"
PATIENCE_S = 10.0
Work = Callable[[Job], Outcome]


def on_this_machine(jobs: Sequence[Job], *, processes: int, work: Work = extract) -> Iterator[Outcome]:
    """Outcomes as they come. A video that takes its process down is one without a result; the others go on."""
    suspects: list[Job] = []
    with _pool(processes) as pool:
        waiting = {pool.submit(work, job): job for job in jobs}
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                job = waiting.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    suspects.append(job)
    for job in suspects:
        yield _alone(job, work)


def on_a_cluster(
    jobs: Sequence[Job], *, address: str, work: Work = extract, patience_s: float = PATIENCE_S
) -> Iterator[Outcome]:
    """Outcomes as they come from a Dask cluster, whose workers see the same folders under the same names.

    `MissingError` without dask.distributed, or where no scheduler answers.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise MissingError("a cluster needs dask.distributed", hint="pip install 'last-edge[cluster]'") from error
    try:
        client = Client(address, timeout=patience_s)
    except (OSError, ValueError) as error:
        raise MissingError("no Dask scheduler answers", where=address, got=error, hint="dask scheduler") from error
    with client:
        futures = client.map(work, jobs, key=[f"extract-{number}" for number in range(len(jobs))], pure=False)
        for future in as_completed(futures):
            yield future.result()


def _pool(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))


def _alone(job: Job, work: Work) -> Outcome:
    """A job once more in a process of its own: another one's crash may have ended the pool it was in."""
    with _pool(1) as pool:
        try:
            return pool.submit(work, job).result()
        except BrokenProcessPool:
            return Outcome(job.name, problem=CRASHED)
