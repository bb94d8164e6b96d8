"""Theory and simulation: the generalisation error against alpha, the distance of the two, and the alignment of the feedback."""

from __future__ import annotations

from collections.abc import Iterable

from edgeff.ir import Array
from edgeff.report.figures.parts import Figure, axis, layout, legend
from edgeff.report.style import rule_look
from edgeff.studies.theory.comparison import Comparison, Line

_ALPHA = "α, samples over inputs"
_TINTS = ("#d55e00", "#e69f00", "#cc79a7", "#009e73")


def line_name(line: Line) -> str:
    """A line's name in words."""
    return f"PEPITA, scale {line.feedback_scale:g}" if line.feedback_scale else "AFA"


def error_figure(comparison: Comparison) -> Figure:
    """Lines are equations, marks simulation with one standard deviation over the seeds; gradient descent and the control by equations."""
    alphas, data = _numbers(comparison.alphas), []
    for rule, name, curve in (
        ("bp", "gradient descent", comparison.bp),
        ("frozen", "frozen hidden layer (control)", comparison.frozen),
    ):
        colour, _ = rule_look(rule)
        data.append(_trace(alphas, curve.errors, name, colour, mode="lines", line={"color": colour, "width": 1.5, "dash": "dot"}))
    for line, colour in _coloured(comparison):
        spread = {"type": "data", "array": _numbers(line.deviation), "thickness": 1, "width": 0, "color": colour}
        name = line_name(line)
        data.append(_trace(alphas, line.theory.errors, f"{name}: equations", colour, mode="lines", line={"color": colour, "width": 2}))
        marks = {"color": colour, "size": 7, "symbol": "circle-open"}
        data.append(_trace(alphas, line.mean, f"{name}: simulation", colour, mode="markers", marker=marks, error_y=spread))
    return _figure(data, 460, axis("generalisation error", type="log", dtick="D2", tickformat="~g"))


def distance_figure(comparison: Comparison) -> Figure:
    """The distance of the simulation from its equations, in per cent of the equations' error, with a line at 5 %."""
    alphas = _numbers(comparison.alphas)
    data = [
        _trace(alphas, 100 * line.relative_error, line_name(line), colour, mode="lines+markers", line={"color": colour, "width": 1.5})
        for line, colour in _coloured(comparison)
    ]
    bound = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 5, "y1": 5, "line": {"color": "#868e96", "dash": "dash", "width": 1}}
    return _figure(data, 320, axis("|simulation - equations|, %", rangemode="tozero"), shapes=[bound])


def beyond_figure(comparison: Comparison) -> Figure:
    """The distance of PEPITA from AFA on the same samples, in per cent of AFA's error: marks are simulation, lines equations."""
    alphas, data = _numbers(comparison.alphas), []
    afa = comparison.lines[0].theory.errors
    for line, colour in _coloured(comparison)[1:]:
        name, expected = line_name(line), 100 * abs(line.theory.errors / afa - 1.0)
        data.append(_trace(alphas, expected, f"{name}: equations", colour, mode="lines", line={"color": colour, "width": 2}))
        marks = {"color": colour, "size": 7, "symbol": "circle-open"}
        data.append(_trace(alphas, 100 * comparison.beyond_afa(line), f"{name}: simulation", colour, mode="markers", marker=marks))
    return _figure(data, 320, axis("|PEPITA - AFA|, %", rangemode="tozero"))


def alignment_figure(comparison: Comparison) -> Figure:
    """The cosine between the feedback D and the second layer v that gradient descent would feed back."""
    alphas, data = _numbers(comparison.alphas), []
    for line, colour in _coloured(comparison):
        name = line_name(line)
        curve = line.theory.alignments
        data.append(_trace(alphas, curve, f"{name}: equations", colour, mode="lines", line={"color": colour, "width": 2}))
        marks = {"color": colour, "size": 7, "symbol": "circle-open"}
        data.append(_trace(alphas, line.alignment, f"{name}: simulation", colour, mode="markers", marker=marks))
    return _figure(data, 320, axis("cos(D, v)", range=[-1.05, 1.05]))


def _coloured(comparison: Comparison) -> list[tuple[Line, str]]:
    """Every line with its colour: that of its rule, and others for further scales of PEPITA."""
    colours = [rule_look("afa")[0], *(_TINTS[index % len(_TINTS)] for index in range(len(comparison.lines) - 1))]
    return list(zip(comparison.lines, colours, strict=True))


def _trace(x: list[float], y: Array, name: str, colour: str, **more: object) -> Figure:
    hover = f"{name}<br>α %{{x:.3g}}: %{{y:.4g}}<extra></extra>"
    return {
        "type": "scatter",
        "x": x,
        "y": _numbers(y),
        "name": name,
        "hovertemplate": hover,
        "marker": {"color": colour, "size": 5},
    } | more


def _figure(data: list[Figure], height: int, y: Figure, **more: object) -> Figure:
    rows = -(-len(data) // 4)
    frame = {"showlegend": True, "legend": legend(), "margin": {"l": 70, "r": 20, "t": 20 + 22 * rows, "b": 60}}
    return {"data": data, "layout": layout(height, xaxis=axis(_ALPHA, rangemode="tozero"), yaxis=y, **frame, **more)}


def _numbers(values: Iterable[float]) -> list[float]:
    """Numbers for JSON, with six digits."""
    return [float(f"{value:.6g}") for value in values]
