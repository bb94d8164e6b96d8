"""Numbers in prose come from results: one that nothing accounts for, one that results do not have, and a statement that fails are found."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGE, OTHER = ROOT / "README.md", ROOT / "docs" / "rules" / "bp.md"


@pytest.fixture(scope="module")
def claims() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        return importlib.import_module("claims")


def test_a_number_is_filled_in_from_the_results(claims: ModuleType) -> None:
    text = 'before <!--= 100 * min(0.5, 0.75) -->93.1<!--/--> and <!--= len("abc") : d -->9<!--/-->'
    assert claims.filled(text) == 'before <!--= 100 * min(0.5, 0.75) -->50.0<!--/--> and <!--= len("abc") : d -->3<!--/-->'
    with pytest.raises(LookupError, match="no row of rules"):
        claims.filled('<!--= mean("rules", "no such task") -->1.0<!--/-->')


@pytest.mark.parametrize(
    ("page", "text", "wrong"),
    [
        (PAGE, "it learns 97.5 of them", ["line 1: 97.5 has no claim"]),
        (PAGE, "`97.5`, 64-32-10, Python 3.11, five seeds\n\nbut 12 points, 3 %", ["line 3: 12 has no claim", "line 3: 3 has no claim"]),
        (PAGE, "<!--= fmean([1.0]) -->1.0<!--/--> and <!--given: a paper -->98.6 %<!--/-->", []),
        (OTHER, "it learns 12.34 ± 5.67", ["line 1: 12.34 ± 5.67 is in no results file"]),
        (OTHER, "<!--? len([]) == 0 --><!--? max(1, 2) < 2 -->", ["does not hold: max(1, 2) < 2"]),
    ],
)
def test_what_nothing_accounts_for_is_found(claims: ModuleType, page: Path, text: str, wrong: list[str]) -> None:
    assert list(claims.faults(page, text)) == wrong


def test_a_diverged_seed_and_a_rules_own_settings_are_not_averaged(claims: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"key": ["t", "n", "pepita", 1], "run": {"accuracy": {"float": 0.75}}},
        {"key": ["t", "n", "pepita", "protocol", 1], "run": {"accuracy": {"float": 0.5}}},
        {"key": ["t", "n", "pepita", "protocol", 2], "run": {"refused": "training diverged"}},
        {"key": ["t", "n", "frozen", "protocol", 1], "run": {"accuracy": {"float": 0.25}}},
    ]
    monkeypatch.setattr(claims, "load", lambda _name: {"rows": rows})
    assert claims.values("rules", "t", "*", "pepita") == {1: 50.0, 2: None}
    assert claims.above("rules", "t", "*", "pepita").shown() == "+25.0 (1 pair)"
