"""The runtime runs where torch is not installed."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys
sys.modules["torch"] = None
import last_edge.runtime
for module in pkgutil.walk_packages(last_edge.runtime.__path__, "last_edge.runtime."):
    importlib.import_module(module.name)
rooms = ("last_edge.models", "last_edge.data", "last_edge.train", "last_edge.distill", "last_edge.export")
loaded = [name for name in sys.modules if name.startswith(rooms)]
heavy = [name for name in ("mediapipe", "cv2", "onnxruntime", "pyarrow", "pose_format") if name in sys.modules]
assert not loaded + heavy, loaded + heavy
"""


def test_every_module_imports_without_torch_and_without_heavy_libraries() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
