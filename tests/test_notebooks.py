"""The notebooks run, and print what stands in them but for the digits, which another machine's rounding may change."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def notebooks() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("notebooks")


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["own_board", "own_rule", "train_and_compare"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_stands_in_it(path: Path, notebooks: ModuleType) -> None:
    notebook = notebooks.read(path)
    kept = [notebooks.shown(cell) for cell in notebooks.code(notebook)]
    assert [masked(text) for text in notebooks.run(notebook)] == [masked(text) for text in kept]
    assert any(kept)


def test_a_cell_that_fails_is_told(notebooks: ModuleType) -> None:
    cells = [{"cell_type": "code", "source": ["1 / 0\n"], "outputs": []}]
    with pytest.raises(RuntimeError, match=r'(?s)File "cell 0", line 1.*ZeroDivisionError'):
        notebooks.run({"cells": cells})


def masked(text: str) -> str:
    """A text without what may differ: digits, and the spaces before a number that is shorter."""
    return re.sub(r" *\d[\d,.]*", " 0", text)
