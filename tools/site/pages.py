"""The pages of the site: docs/, reference made from the code, and the examples.

`python -m last_edge.tools.site.pages FOLDER` writes them; mkdocs, or another builder, makes a site of the folder.
"""

import posixpath
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from last_edge.files import writing_folder
from last_edge.skeleton import Layout, get_layout, layout_names
from last_edge.tools.cli import application
from last_edge.train.recipe import recipe_files

ROOT = Path(__file__).resolve().parents[2]
UPWARDS = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)#]+)\)")
"""A link that may leave docs/, as `[a program](../examples/onnx_only.py)`."""
EXAMPLES = (".py", ".js", ".cpp", ".ipynb")


def write_pages(out: Path) -> None:
    """Write every page of the site into a folder, in the place of what is there."""
    with writing_folder(out, marker="index.md", force=True) as folder:
        shutil.copytree(ROOT / "docs", folder, dirs_exist_ok=True)
        generated = {"cli": command_line(), "recipes": recipes(), "layouts": layouts()}
        for name, text in generated.items():
            (folder / "reference" / f"{name}.md").write_text(text)
        (folder / "contributing.md").write_text(contributing())
        (folder / "examples").mkdir()
        for example in (ROOT / "examples").iterdir():
            if example.suffix in EXAMPLES:
                shutil.copy(example, folder / "examples" / example.name)
        for page in folder.rglob("*.md"):
            page.write_text(with_links_inside(page.read_text(), page.parent.relative_to(folder).as_posix()))


def with_links_inside(markdown: str, here: str) -> str:
    """Links out of docs/ lead to the site's copy of an example, or become the name of a place in the repository.

    here: the page's folder, below docs/.
    """

    def resolved(link: re.Match[str]) -> str:
        place = posixpath.normpath(posixpath.join("docs", here, link[2]))
        if place.startswith("docs/") or not (ROOT / place).exists():
            return link[0]  # one that leads nowhere stays, for the builder to find
        if place == "CONTRIBUTING.md":
            return f"[{link[1]}]({posixpath.relpath('contributing.md', here)})"
        if place.startswith("examples/"):
            return f"[{link[1]}]({posixpath.relpath(place, here)})"
        return link[1] if place in link[1] else f"{link[1]} (`{place}`)"

    return UPWARDS.sub(resolved, markdown)


def contributing() -> str:
    """CONTRIBUTING.md as a page: its links into docs/ become links between pages."""
    text = (ROOT / "CONTRIBUTING.md").read_text().replace("](docs/", "](")
    return re.sub(r"\[([^\]]+)\]\(([A-Z_]+\.md)\)", r"\1 (`\2`)", text)


def command_line() -> str:
    """Every command with its help, as the terminal prints it."""
    command = typer.main.get_command(application())
    return "# Command line\n\n" + "\n".join(_commands(command, "last-edge", None))


def _commands(command: Any, name: str, parent: Any) -> Iterator[str]:
    context = command.make_context(name.split()[-1], [], parent=parent, resilient_parsing=True)
    context.terminal_width = context.max_content_width = 80
    yield f"{'#' * min(1 + len(name.split()), 4)} {name}\n"
    yield f"```text\n{command.get_help(context).rstrip()}\n```\n"
    for each in command.list_commands(context) if hasattr(command, "list_commands") else ():
        if not each.startswith("default"):
            yield from _commands(command.get_command(context, each), f"{name} {each}", context)


def recipes() -> str:
    """Every shipped recipe as it stands."""
    parts = ["# Recipes\n", "`--recipe NAME` of a training. `--set KEY=VALUE` changes any value and wins over all.\n"]
    for name, path in recipe_files().items():
        parts.append(f"## {name}\n\n```yaml\n{path.read_text().rstrip()}\n```\n")
    return "\n".join(parts)


def layouts() -> str:
    """Every layout: what it is, its points in order, and what each hangs on."""
    intro = "A layout names the points of a frame, in order. One of your own: [My recordings](../data.md).\n"
    return "\n".join(["# Layouts\n", intro, *(_layout(get_layout(name)) for name in layout_names())])


def _layout(layout: Layout) -> str:
    rows = [
        f"| {number} | {name} | {'–' if parent == number else layout.names[parent]} |"
        for number, (name, parent) in enumerate(zip(layout.names, layout.parents, strict=True))
    ]
    return "\n".join(
        [f"## {layout.name}\n", f"{layout.description}\n", "| | point | hangs on |", "|---|---|---|", *rows, ""]
    )


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
