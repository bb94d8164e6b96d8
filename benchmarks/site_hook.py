"""A hook of the builder of the site (mkdocs.yml).

Notebooks of docs/notebooks become pages, with their code and what it printed; folders in the navigation their pages; examples in docstrings
blocks of code; and the reports in runs/ a gallery.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import griffe
import notebooks

EXAMPLE = re.compile(r"^(>>> .*(?:\n.+)*)$\n?", re.MULTILINE)


def page(notebook: dict[str, Any], name: str) -> str:
    """The Markdown of a notebook."""
    parts = []
    for cell in notebook["cells"]:
        text = notebooks.source(cell)
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        if cell["cell_type"] == "code" and (printed := notebooks.shown(cell)):
            parts.append(f"```text\n{printed.rstrip()}\n```")
    return "\n\n".join([*parts, f"[The notebook]({name})\n"])


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for path in sorted((Path(config["docs_dir"]) / "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page(notebooks.read(path), path.name)))
    reports = sorted(Path(config["docs_dir"]).parent.glob("runs/*/report.html"))
    for path in reports:
        files.append(File.generated(config, f"reports/{path.parent.name}.html", content=path.read_bytes()))
    files.append(File.generated(config, "gallery.md", content=gallery(reports)))
    return files


def gallery(reports: list[Path]) -> str:
    """The page of the reports that lie in runs/ when the site is built."""
    lines = [
        "# Reports",
        "",
        "The pages that `edgeff` wrote into `runs/` before this site was built: figures, tables, and where each number is from.",
        "",
    ]
    for path in reports:
        runs = json.loads(path.with_name("report.json").read_text(encoding="utf-8"))["runs"]
        what = "; ".join(sorted({f"{run['task']}, {run['network']} by {run['rule']}" for run in runs}))
        lines.append(f'- <a href="../reports/{path.parent.name}.html">{path.parent.name}</a>: {what}')
    return "\n".join([*lines, "" if reports else "There are none: `edgeff demo --out runs/demo` writes one.", ""])


def on_config(config: Any) -> Any:
    """Folders in the navigation become their pages, by name."""
    config["nav"] = expanded(config["nav"], Path(config["docs_dir"]))
    return config


def expanded(nav: list[Any], docs: Path) -> list[Any]:
    """A navigation whose folders, each the value of a title, are lists of pages."""
    pages: list[Any] = []
    for entry in nav:
        ((title, value),) = entry.items() if isinstance(entry, dict) else ((None, entry),)
        if isinstance(value, list):
            pages.append({title: expanded(value, docs)})
        elif (docs / value).is_dir():
            pages.append({title: [path.relative_to(docs).as_posix() for path in sorted((docs / value).glob("*.md"))]})
        else:
            pages.append(entry)
    return pages


def on_page_markdown(markdown: str, **_unused: Any) -> str:
    """A page without its comments, which say where its numbers come from: brackets in them would be taken for references."""
    return re.sub(r"<!--.*?-->", "", markdown, flags=re.DOTALL)


class Doctests(griffe.Extension):
    """Examples in docstrings become blocks of code, which Markdown would take for quotations."""

    def on_object(self, *, obj: griffe.Object, **_unused: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\1\n```\n", obj.docstring.value)
