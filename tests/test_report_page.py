"""The page: it asks for nothing, holds every figure, and shows hostile names as text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from report_traces import HOSTILE, VERSIONS, hostile, planned, several, trace, unknown

from edgeff import registry
from edgeff.ir import Trace
from edgeff.report import page
from edgeff.report.figures import cost_by_layer, cost_by_run, learning_curves, ram_parts
from edgeff.report.figures.memory import memory_figure, shared_bytes
from edgeff.report.figures.parts import spread
from edgeff.report.html.header import header
from edgeff.report.rows import groups


class Elements(HTMLParser):
    """Every element of a page with its attributes, the text of its scripts and styles, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.visible = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_data(self, data: str) -> None:
        if self._inside in self.raw:
            self.raw[self._inside][-1] += data
        else:
            self.visible += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside


def inflated(script: str) -> str:
    return zlib.decompress(base64.b64decode(script)).decode()


def figures(text: str) -> dict[str, Any]:
    return json.loads(inflated(Elements(text).raw["script"][0]))


@pytest.mark.parametrize("traces", [[], [unknown()], [trace()], several(), [hostile()], [*several(), replace(trace(), task="fsdd")]])
def test_a_page_asks_for_nothing_and_runs_two_scripts_alone(traces: list[Trace]) -> None:
    text = page(traces, VERSIONS)
    found = Elements(text)
    policy = next(attrs["content"] for tag, attrs in found.elements if attrs.get("http-equiv") == "Content-Security-Policy")
    data, plotly, script = found.raw["script"]
    hashes = [base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() for source in (inflated(plotly), script)]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}' 'sha256-{hashes[1]}'; style-src 'unsafe-inline'; "
        "img-src data: blob:; form-action 'none'; base-uri 'none'"
    )
    for tag, attrs in found.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form", "a", "video", "audio", "source"}
        assert not attrs.keys() & {"src", "href", "srcset", "action", "background", "ping", "data", "poster"}
        assert not any(name.startswith("on") for name in attrs)
        assert "url(" not in (attrs.get("style") or "")
    assert not re.search(r"url\(|@import|https?:", "".join(found.raw["style"]) + script + inflated(data))
    assert not re.search(r"[<>&]", data + plotly)


def test_every_figure_is_valid_for_plotly_and_stands_in_the_page() -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects", reason="plotly is not installed")
    text = page([*several(), hostile(), planned("ff"), replace(trace(), task="fsdd", board=None)], VERSIONS)
    drawn = figures(text)
    for figure in drawn.values():
        graph_objects.Figure(figure)
    places = [str(attrs["data-figure"]) for _, attrs in Elements(text).elements if "data-figure" in attrs]
    assert sorted(places) == sorted(drawn)


def test_the_page_holds_every_number_of_the_table_and_of_the_pictures() -> None:
    traces = several()
    text = page(traces, VERSIONS)
    visible = Elements(text).visible
    for figure in (
        "64-32-10",
        "nucleo_l4r5zi",
        "96.1",
        "2,728",
        "37,885",
        "0.327",
        "+15.7",
        "\N{MINUS SIGN}5.6",
        "edgeff 0.1.0",
        "Not installed: unicorn",
    ):
        assert figure in visible, figure
    drawn = list(figures(text).values())
    marks = [(x, y) for d in drawn[0]["data"] if d["mode"] == "markers" for x, y in zip(d["x"], d["y"], strict=True) if x is not None]
    assert sorted(marks) == sorted((t.memory.total_ram_bytes, 100 * (t.accuracy["after"] or 0)) for t in traces)
    bars = [(d["base"], d["y"]) for d in drawn[3]["data"] if d["type"] == "bar" and d["name"] == "activations"]
    assert bars == [([2112, 2112], [32, 32])]


def test_the_control_is_hollow_grey_and_named_as_such() -> None:
    drawn = list(figures(page(several())).values())
    (control,) = [d for d in drawn[0]["data"] if d.get("name") == "frozen (control)" and d["x"] != [None]]
    assert control["marker"]["symbol"] == ["circle-open", "square-open"]
    (line,) = [d for d in drawn[1]["data"] if "frozen" in d["hovertext"][0] and d["xaxis"] == "x"]
    assert (line["line"]["dash"], line["line"]["color"]) == ("dot", "#868e96")


def test_a_mark_under_another_is_larger() -> None:
    drawn = list(figures(page(several())).values())
    sizes = {d["name"]: d["marker"]["size"] for d in drawn[0]["data"] if d["mode"] == "markers" and d["x"] != [None]}
    assert sizes["mempepita"] == [11, 11]
    assert min(sizes["pepita"]) > 11


def test_the_head_says_what_beats_the_control_and_what_does_not() -> None:
    text = Elements(header(several())).visible
    assert "Highest accuracy learned on the device: bp float32, 98.1 %" in text
    assert "Least RAM among the runs above the frozen control: pepita int8, 91.2 % in 2,728 bytes of RAM, control 75.6 %" in text
    assert "Not above the frozen control: ff float32 and ff int8" in text


def test_hostile_names_stay_text() -> None:
    text = page([hostile(), replace(hostile(), seed=1)], {HOSTILE: HOSTILE})
    found = Elements(text)
    assert [tag for tag, _ in found.elements].count("script") == 3
    assert "document.title='owned'" in found.visible

    def strings(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for item in value.values() for text in strings(item)]
        return [text for item in value for text in strings(item)] if isinstance(value, list) else [value] if isinstance(value, str) else []

    for shown in strings(figures(text)):
        assert not re.search(r"<(?!/?(b|i|span|br)\b)", shown)
        assert shown.isprintable()


def test_bars_add_up_to_the_totals_beside_them() -> None:
    (group,) = groups([trace()])
    for figure in (cost_by_run(group), cost_by_layer(trace())):
        bars = sum(x or 0 for d in figure["data"] for x in d["x"])
        totals = [int(note["text"].replace(",", "")) for note in figure["layout"]["annotations"] if note["text"][0].isdigit()]
        assert bars == sum(totals) == sum(call.instructions or 0 for call in trace().calls)


def test_curves_of_several_seeds_are_a_mean_with_a_band() -> None:
    (group,) = groups([trace(seed=0, after=0.9), trace(seed=1, after=0.8)])
    band, line = learning_curves(group)["data"]
    assert line["y"][-1] == pytest.approx(85.0, abs=1e-9)  # a mean of two floats
    assert band["fill"] == "toself"
    assert (max(band["y"]), line["x"]) == (90.0, [0, 250, 1437])


@pytest.mark.parametrize("rule", [name for name, rule in registry.rules.items() if "float32" in rule.numerics])
def test_the_memory_map_of_every_rule_is_its_plan(rule: str) -> None:
    run = planned(rule)
    stays = run.memory_map
    over = set()
    for i, a in enumerate(stays):
        for b in stays[i + 1 :]:
            apart_in_time = a["last"] < b["first"] or b["last"] < a["first"]
            apart_in_space = a["offset"] + a["size_bytes"] <= b["offset"] or b["offset"] + b["size_bytes"] <= a["offset"]
            if not apart_in_time and not apart_in_space:
                output, used_up = (a, b) if a["first"] == b["last"] else (b, a)
                assert output["first"] == used_up["last"], (a, b)
                over.add((output["tensor"], used_up["tensor"], output["first"]))
    assert over == {(both["output"], both["input"], both["call"]) for both in shared_bytes(stays)}
    assert max(stay["offset"] + stay["size_bytes"] for stay in stays) <= (run.memory.arena_bytes or 0)
    assert sum(size for _, size, _ in ram_parts(run)) == run.memory.total_ram_bytes
    assert max(stay["last"] for stay in stays) == len(run.calls) - 1


def test_an_output_over_an_input_is_hatched_where_both_lie() -> None:
    stay = {"role": "activation", "layer": "l", "line": "infer"}
    stays = (
        stay | {"tensor": "x", "offset": 8, "size_bytes": 16, "first": 0, "last": 1},
        stay | {"tensor": "y", "offset": 0, "size_bytes": 12, "first": 1, "last": 2},
        stay | {"tensor": "z", "offset": 12, "size_bytes": 4, "first": 2, "last": 2},
    )
    assert shared_bytes(stays) == [{"output": "y", "input": "x", "call": 1, "offset": 8, "size_bytes": 4}]
    bars = {bar["name"]: bar for bar in memory_figure(replace(trace(), memory_map=stays))["data"]}
    hatched = bars["output over an input"]
    assert (hatched["x"], hatched["base"], hatched["y"], hatched["yaxis"]) == ([1], [8], [4], "y2")
    assert "<b>y</b> over x" in hatched["hovertext"][0]


def test_texts_are_moved_apart_and_stay_inside() -> None:
    moved = spread([99.0, 99.5, 99.5, 40.0], 5.0, 0.0, 100.0)
    assert max(moved) <= 100.0
    ordered = sorted(moved)
    assert all(b - a >= 5.0 - 1e-9 for a, b in pairwise(ordered))  # sums of floats
    assert spread([], 1.0) == []
