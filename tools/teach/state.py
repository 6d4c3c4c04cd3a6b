"""What a teaching has done so far, `teach.json` in its folder: a second call goes on where the first stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from last_edge import records
from last_edge.errors import InputError
from last_edge.files import write_text

FILE = "teach.json"


class State:
    """Options of the last call, and by step what it depended on and gave."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        content = records.read_json(self.path) if self.path.is_file() else {"options": {}, "done": {}}
        if not isinstance(content, dict) or not {"options", "done"} <= content.keys():
            raise InputError("not the state of a teaching", where=self.path, hint=f"rm {self.path}")
        self.options: dict[str, Any] = content["options"]
        self._done: dict[str, dict[str, Any]] = content["done"]

    def result(self, step: str, key: str) -> Any:
        """What a step gave for this very key; None where it is still to be done."""
        done = self._done.get(step, {})
        return done.get("result") if done.get("key") == key else None

    def once(self, step: str, key: str, there: Path, make: Callable[[], Any]) -> tuple[Any, bool]:
        """What a step gives, made now or before, and whether it was made now. there: what it leaves behind."""
        before = self.result(step, key)
        if before is not None and there.exists():
            return before, False
        result = json.loads(json.dumps(make()))
        self._done[step] = {"key": key, "result": result}
        self.save()
        return result, True

    def save(self) -> None:
        """Write the file."""
        write_text(self.path, records.canonical({"options": self.options, "done": self._done}))
