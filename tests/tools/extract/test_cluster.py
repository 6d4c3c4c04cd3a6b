"""Three workers share videos out and one is killed midway: nothing is lost, nothing is there twice."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from last_edge.clips.store import ClipStore
from last_edge.tools.extract.plan import Settings, plan_jobs
from last_edge.tools.extract.run import extract_all, on_a_cluster
from tests.tools.extract.test_extract import LAYOUT, write_video

distributed = pytest.importorskip("distributed")
VIDEOS = 18
STAND_IN = """
import numpy as np
from last_edge.skeleton import get_layout
from last_edge.tools.extract import run

class Detector:
    layout = get_layout("mediapipe_hand21")
    def __call__(self, image, timestamp_s):
        np.linalg.svd(np.random.default_rng(0).normal(size=(160, 160)))
        return np.full((21, 3), image.mean() / 255, np.float32)
    def close(self):
        pass

run.create_landmarks = lambda *args, **options: Detector()
"""


@pytest.mark.slow
def test_a_worker_that_dies_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    for number in range(VIDEOS):
        write_video(tmp_path / "videos" / ("hello", "thanks")[number % 2] / f"{number:05d}.avi", 30)
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    out = tmp_path / "out"
    jobs = plan_jobs(tmp_path / "videos", out, Settings(layout=LAYOUT))
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None, preload=str(tmp_path / "stand_in.py")
    ) as cluster:
        victim = next(iter(cluster.workers.values())).process.process.pid
        outcomes = []
        for outcome in on_a_cluster(jobs, address=cluster.scheduler_address):
            outcomes.append(outcome)
            if len(outcomes) == 4:
                threading.Thread(target=os.kill, args=(victim, signal.SIGKILL)).start()
        assert {outcome.name for outcome in outcomes} == {job.name for job in jobs} and len(outcomes) == VIDEOS
        assert [outcome.problem for outcome in outcomes if outcome.problem] == []
        done = list(out.rglob("*.npz"))
        assert len(done) == VIDEOS and not [*out.rglob("*.partial")]
        assert next(iter(cluster.workers.values())).process.process.pid != victim, "it was killed, and another came"
        again = extract_all(jobs, out, name="", dask=cluster.scheduler_address)
        assert (again.made, again.before) == (0, VIDEOS)
    store = ClipStore.open(out / "store")
    assert len(store) == VIDEOS == len(set(store.index.source_id.tolist()))
