"""The tournament's tables and pictures say what its rows say, and its shards are all of it."""

from __future__ import annotations

import importlib
import xml.parsers.expat
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
WIDE, NARROW = "490-64-10", "490-8-10"
SHARED = "490-32-10"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("tables_tournament")


@pytest.fixture
def tournament(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("tournament")


@pytest.fixture
def drawn(tables: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tables with rows of one task and numeric: name, network, KB of RAM, accuracy by validation and in the test."""
    cells = [
        ("bp", SHARED, 15, 0.90, 90.0),
        ("bp", WIDE, 31, 0.95, 95.0),
        ("bp", NARROW, 7, 0.60, 60.0),
        ("pepita", SHARED, 15, 0.70, 92.0),
        ("pepita", NARROW, 7, 0.80, 85.0),
        ("cwc", SHARED, 15, 0.75, 99.0),
        ("local_heads", SHARED, 15, 0.99, 91.0),
        ("frozen", SHARED, 1, 0.40, 40.0),
        ("frozen", "490-256-10", 9, 0.94, 94.0),
    ]
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    ram: dict[tuple[Any, ...], dict[str, Any]] = {}
    for rule, network, kb, validation, accuracy in cells:
        ram["fsdd", network, rule, "int8"] = {"static_ram": 1024 * kb, "stack": 500, "learn_instructions": 12345}
        for seed in range(5):
            value = accuracy + 0.1 * seed + (0.01 * seed if rule != "bp" else 0)
            chosen = {"validation_accuracy": validation}
            key = ["fsdd", network, rule, "int8", seed]
            rows[tuple(key)] = {"key": key, "accuracy": value, "diverged": False, "commit": "0", "chosen_by": chosen}
    files: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {"tournament": rows, "tournament_ram": ram, "tournament_fit": {}}
    monkeypatch.setattr(tables, "rows_by", lambda name: files.get(name, {}))
    return tables


def test_a_budget_takes_what_validation_samples_prefer_of_what_fits(drawn: ModuleType) -> None:
    by = {one.budget_kb: {rule: entry.network for rule, entry in one.entries.items()} for one in drawn.equal("fsdd", "int8")}
    assert by[8] == {"bp": NARROW, "pepita": NARROW, "frozen": SHARED}
    assert by[16]["pepita"] == NARROW  # the test part prefers the wider one
    assert by[16]["frozen"] == "490-256-10"
    assert by[32]["bp"] == WIDE
    assert 64 not in by, "nothing is new there"


def test_the_stack_counts(drawn: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn.ram("fsdd", NARROW, "bp", "int8") == 7 * 1024 + 500
    monkeypatch.setattr(drawn, "ram", lambda *_cell: 8 * 1024 + 1)
    assert drawn.entry("fsdd", "bp", "int8", 8 * 1024) is None


def test_the_best_forward_only_rule_learns_hidden_layers_without_a_backward_pass(drawn: ModuleType) -> None:
    first, second, _ = drawn.equal("fsdd", "int8")
    assert (first.best.rule, second.best.rule) == ("pepita", "pepita")
    assert first.verdict == "**forward-only**"
    assert second.verdict == "BP; the last layer alone is above both"
    assert second.last_layer_wins
    assert drawn.less(first.best, first.bp).shown() == "+25.0 (+25.0 to +25.0)"


def test_a_rule_with_seeds_missing_takes_no_part(drawn: ModuleType) -> None:
    del drawn.rows_by("tournament")["fsdd", NARROW, "pepita", "int8", 3]
    assert next(drawn.equal("fsdd", "int8")).best is None


def test_the_tables_have_a_line_each(drawn: ModuleType) -> None:
    lines = drawn.equal_table().splitlines()[2:]
    assert [line.split(" | ")[2] for line in lines] == ["8 KB", "16 KB", "32 KB"]
    assert "PEPITA 85.2 ± 0.2 (490-8-10)" in lines[0]
    assert "| 15,860 | 12,345 |" in drawn.task_table("fsdd")
    assert "not run" in drawn.task_table("fsdd")
    assert drawn.task_table("kws_open") == drawn.NOT_MEASURED


@pytest.mark.usefixtures("drawn")
def test_the_pictures_are_of_the_rows() -> None:
    pictures = importlib.import_module("tables_tournament_picture").pictures()
    assert set(pictures) == {"tournament_fsdd.svg", "tournament.svg"}
    for svg in pictures.values():
        parse = xml.parsers.expat.ParserCreate()
        parse.Parse(svg, True)
    assert pictures["tournament_fsdd.svg"].count('fill="#d55e00"') == 3  # PEPITA: two networks and its name's mark
    assert ">+25<" in pictures["tournament.svg"]  # beyond the edge
    assert ">-20<" in pictures["tournament.svg"]


def test_shards_are_the_whole_and_no_run_is_another_to_the_bit(tournament: ModuleType) -> None:
    every = tournament.cells([*tournament.FIELDS], tournament.NUMERICS)
    assert len(every) == len(set(every))
    parts = [tournament.Shard(number, 3).share(every) for number in (1, 2, 3)]
    assert sorted(cell for part in parts for cell in part) == sorted(every)
    keys = [*tournament.runs(every)]
    assert {key[2] for key in keys if key[1] == "490-32-10" and key[3] == "float32"} == {"bp", "dfa", "pepita", "ff", "cwc", "frozen"}
    assert ("cifar10", "c10-c20", "local_heads", "float32", 0) in keys
    assert not [key for key in keys if key[:2] == ("digits", "64-32-10")], "other results have them"
    assert tournament.same_as("64-32-10", "local_heads", "int8") == "local_heads"


def test_shards_are_put_together(tournament: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = importlib.import_module("results")
    for module in (tournament, results):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    for number in (1, 2):
        results.save(f"tournament_shard_{number}_of_2", [{"key": ["digits", number], "accuracy": number}])
    tournament.merged()
    assert [row["accuracy"] for row in results.load("tournament")["rows"]] == [1, 2]


def test_a_networks_name_is_its_structure(tournament: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Images:
        input_shape, classes = (16, 16, 3), ("a", "b")

    monkeypatch.setattr(tournament, "data_of", lambda *_: Images)
    layers = {layer.name: layer.shape for layer in tournament.plain("cifar10", "c10-c20")}
    assert (layers["conv_1"], layers["pool_2"], layers["dense"]) == ((16, 16, 10), (4, 4, 20), (2,))
