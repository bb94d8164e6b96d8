"""Draws docs/pictures/pepita_step.svg: the ONNX graph of a PEPITA step, from the file that is exported, with the reshapes left out.

``python benchmarks/training_graph_picture.py``. Rows are the longest way from the inputs, columns are what the part of the step is for,
which the names of the nodes begin with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

import onnx

from edgeff import registry
from edgeff.formats.onnx.training import training_graphs
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "pepita_step.svg"
NETWORK = "64-32-10"
TITLE = f"One PEPITA step of {NETWORK} in float32 as ONNX operators, without the reshapes"
PASSED = ("Reshape", "Identity", "Cast")
"""Operators that change no number of this graph, and are left out."""
LANES = ("update of the first layer", "first pass", "error, and the input it changes", "second pass", "update of the second layer")
COLOURS = ("#8250df", "#0969da", "#bc4c00", "#1a7f37", "#8250df")
WIDTH, ROW, TOP, BOX = 1180, 46, 64, 74


class Drawn(NamedTuple):
    """A node, input or output: its text, the values it reads, its column and row, and whether it is an end of the graph."""

    text: str
    reads: list[str]
    lane: int
    row: int
    end: bool = False

    @property
    def width(self) -> float:
        return max(BOX, 6.2 * len(self.text.split("\n")[0]) + 8)


def lane_of(name: str) -> int:
    """The column of what a name begins with."""
    place = name.rpartition("/")[0] or name
    if place.startswith(("learn.difference", "dense_1")):
        return 0
    if place.startswith("dense_2"):
        return 4
    if place.startswith(("learn.error.2",)) or place.endswith(".2"):
        return 3
    return 2 if place.startswith(("learn.error", "input", "label", "rate", "step")) else 1


def graph_of(model: onnx.ModelProto) -> dict[str, Drawn]:
    """What is drawn, by the name of its value."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    constants = {tensor.name for tensor in model.graph.initializer} - {given.name for given in model.graph.input}
    same: dict[str, str] = {}
    drawn: dict[str, Drawn] = {}

    def size(name: str) -> str:
        return " x ".join(map(str, shapes.get(name, []))) or "1"

    for given in model.graph.input:
        drawn[given.name] = Drawn(f"{given.name}\n{size(given.name)}", [], lane_of(given.name), 0, end=True)
    for node in model.graph.node:
        output = node.output[0]
        reads = [same.get(name, name) for name in node.input if name not in constants]
        if node.op_type in PASSED and reads:
            same[output] = reads[0]
            continue
        row = 1 + max((drawn[name].row for name in reads if name in drawn), default=0)
        known = [name for name in node.input if name in constants]
        text = f"{node.op_type}{' constant' if known and (len(node.input) > 1 or not reads) else ''}\n{size(output)}"
        drawn[output] = Drawn(text, [name for name in reads if name in drawn], lane_of(output), row)
    last = [1 + max(item.row for item in drawn.values())] * len(LANES)
    for given in model.graph.output:
        source = same.get(given.name, given.name)
        lane = 1 if given.name == "scores" else lane_of(given.name)
        drawn[f"{given.name} "] = Drawn(f"{given.name}\n{size(given.name)}", [source], lane, last[lane], end=True)
        last[lane] += 1
    return drawn


def positions(drawn: Mapping[str, Drawn]) -> dict[str, tuple[float, float]]:
    """The centre of each box: inputs one row above what reads them, neighbours in one place side by side."""
    rows = {name: item.row for name, item in drawn.items()}
    for name, item in drawn.items():
        readers = [rows[other] for other, reader in drawn.items() if name in reader.reads and not other.endswith(" ")]
        if not item.reads and item.row == 0 and readers:
            rows[name] = max(min(readers) - 1, 0)
    places: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name, item in drawn.items():
        places[(item.lane, rows[name])].append(name)
    made: dict[str, tuple[float, float]] = {}
    for (lane, row), names in places.items():
        left = WIDTH / len(LANES) * (lane + 0.5) - (sum(drawn[name].width + 4 for name in names) - 4) / 2
        for name in names:
            made[name] = (left + drawn[name].width / 2, TOP + ROW * row + 20)
            left += drawn[name].width + 4
    return made


def picture(model: onnx.ModelProto) -> str:
    """The SVG's text: plain shapes, no script, readable on white and on black."""
    drawn = graph_of(model)
    place = positions(drawn)
    height = max(y for _, y in place.values()) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>',
        f'<text x="14" y="22" font-size="15" fill="#1f2328">{TITLE}</text>',
    ]
    for lane, (text, colour) in enumerate(zip(LANES, COLOURS, strict=True)):
        middle = WIDTH / len(LANES) * (lane + 0.5)
        parts.append(f'<text x="{middle:.0f}" y="46" text-anchor="middle" font-size="13" fill="{colour}">{text}</text>')
    for name, item in drawn.items():
        x, y = place[name]
        for source in item.reads:
            a, b = place[source]
            colour = COLOURS[drawn[source].lane]
            bend = max(20.0, (y - b) / 2)
            parts.append(
                f'<path d="M{a:.0f} {b + 15:.0f} C{a:.0f} {b + 15 + bend:.0f} {x:.0f} {y - 15 - bend:.0f} {x:.0f} {y - 15:.0f}" '
                f'fill="none" stroke="{colour}" stroke-opacity="0.45"/>'
            )
    for name, item in drawn.items():
        x, y = place[name]
        colour = COLOURS[item.lane]
        fill, ink, corner = ("#ffffff", "#1f2328", 12) if item.end else (colour, "#ffffff", 3)
        first, second = item.text.split("\n")
        box = f'x="{x - item.width / 2:.0f}" y="{y - 15:.0f}" width="{item.width:.0f}" height="30" rx="{corner}"'
        parts.append(f'<rect {box} fill="{fill}" stroke="{colour}"/>')
        parts.append(f'<text x="{x:.0f}" y="{y - 2:.0f}" text-anchor="middle" fill="{ink}">{escape(first)}</text>')
        parts.append(f'<text x="{x:.0f}" y="{y + 11:.0f}" text-anchor="middle" font-size="9" fill="{ink}">{escape(second)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    data = registry.tasks["digits"].load(0)
    deployment = deploy(initialised(structure(NETWORK, bias=True), 0), data.x_train, rule="pepita", numeric="float32")
    PICTURE.write_text(picture(training_graphs(deployment.program, deployment.settings).learn), encoding="utf-8")


if __name__ == "__main__":
    main()
