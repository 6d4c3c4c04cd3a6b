"""Parameters and operations of every model on the shipped layouts, kept in a file so that listing them takes no torch.

`python -m last_edge.tools.counts` counts them anew, which takes minutes; a test holds the file to what is counted.
"""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("counts.json")
BASE = 60
LINEAR = ("params", "inference_params", "flops")
"""What grows with each class by the same number."""


def kept_counts(layout: str, classes: int) -> list[dict[str, Any]] | None:
    """The rows of `describe_models` to the last digit; None for a layout that is not kept."""
    kept = json.loads(FILE.read_text(encoding="utf-8")).get(layout)
    if kept is None:
        return None
    rows = []
    for model in kept:
        grown = {name: model[name][0] + (classes - BASE) * model[name][1] for name in LINEAR}
        rows.append(model | grown | {"gflops": round(grown["flops"] / 1e9, 4)})
    return rows


def count_layout(layout: str) -> list[dict[str, Any]]:
    """A layout's rows with value and growth of each linear figure."""
    from last_edge.models.describe import describe_models

    base, more = (describe_models(layout=layout, classes=classes) for classes in (BASE, BASE + 1))
    return [
        {**row, "gflops": None, **{name: [row[name], other[name] - row[name]] for name in LINEAR}}
        for row, other in zip(base, more, strict=True)
    ]


if __name__ == "__main__":
    from last_edge.files import write_text
    from last_edge.skeleton.layout import layout_names

    lines = (f"{json.dumps(name)}: {json.dumps(count_layout(name))}" for name in layout_names())
    write_text(FILE, "{\n" + ",\n".join(lines) + "\n}\n")
