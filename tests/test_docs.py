"""The pages: every link leads somewhere, and every command in them is one of edgeff's, with options that it has."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
from command_line import ROOT

import edgeff
from edgeff.cli.group import group

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
EXAMPLE = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as sites make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_link_of_a_page_leads_somewhere() -> None:
    lost = []
    for page in PAGES:
        for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
            path, _, anchor = target.partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            file = page.parent / path if path else page
            if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
                lost.append(f"{page.relative_to(ROOT)}: {target}")
    assert lost == []


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command ``edgeff ..`` in the examples of a page."""
    for block in EXAMPLE.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["edgeff"]:
                yield words[1 : next((place for place, word in enumerate(words) if word in ("|", "&&", ">", ";")), None)]


def test_every_command_in_the_examples_has_the_options_that_it_is_given() -> None:
    checked = 0
    for page in PAGES:
        for name, *words in commands(page):
            command = group.get_command(click.Context(group), name)
            while isinstance(command, click.Group):
                command = command.get_command(click.Context(command), words.pop(0))
            assert command is not None, (page, name)
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            assert given <= known | {"--help"}, (page, name, given - known)
            checked += 1
    assert checked > 60


def test_the_page_of_the_python_interface_has_every_name_that_there_is() -> None:
    named = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    homes = {f"edgeff.{home}.{name}" for home, names in edgeff._HOMES.items() for name in names}
    assert homes <= set(named)
    for path in named[1:]:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path
