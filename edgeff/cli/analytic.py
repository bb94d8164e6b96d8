"""``edgeff analytic``: the analytic table of Pau & Aymone (2023) from the geometry of networks, and the figures of edgeff's programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.models import load_model
from edgeff.cli.options import common
from edgeff.cli.terminal import print_json, print_line, print_table, stages

if TYPE_CHECKING:
    from edgeff.cli.program_figures import ProgramFigures
    from edgeff.ir import Network
    from edgeff.studies.analytic.deviations import Analysis

FILES = (".onnx", ".tflite", ".keras", ".h5")


@click.command("analytic", epilog="Example: edgeff analytic ds_cnn resnet8 --corrected")
@click.argument("networks", metavar="[NETWORK]...", nargs=-1)
@click.option("--corrected", is_flag=True, help="Leave out the published sheet's departures from its own conventions.")
@click.option("--layers", "by_layer", is_flag=True, help="Also show the MACs of every layer.")
@common
def command(networks: Sequence[str], corrected: bool, by_layer: bool, as_json: bool, seed: int | None) -> None:
    """Show the cost of training by the published analytic table of Pau & Aymone (2023), and the exact figures of edgeff's programs.

    NETWORK: a registered network, a dense list such as 64-32-10 or a model file. By default the four networks of the publication, whose
    figures are then the published ones to the last digit.
    """
    from edgeff.cli.program_figures import program_figures
    from edgeff.studies.analytic.deviations import BENCHMARKS, analyse
    from edgeff.studies.analytic.pau_aymone import RULES, SOURCE

    names = networks or tuple(BENCHMARKS)
    loaded = [_network(name, seed or 0) for name in names]
    analyses = [analyse(network, benchmark=BENCHMARKS.get(name), corrected=corrected) for name, network in zip(names, loaded, strict=True)]
    with stages() as report:
        programs = [[*program_figures(network, tuple(RULES), seed or 0, report)] for network in loaded]
    if as_json:
        sheet = {"source": SOURCE, "corrected": corrected, "networks": [sheet_entry(analysis) for analysis in analyses]}
        print_json({"sheet": sheet, "programs": [program_entry(program) for several in programs for program in several]})
        return
    _print_sheet(analyses)
    if by_layer:
        _print_layers(analyses)
    _print_programs(analyses, programs)


def _network(name: str, seed: int) -> Network:
    """The network called ``name``, with parameters and its batch normalisation folded; that of a file is named after the file."""
    from edgeff.networks import initialised, structure
    from edgeff.ops.canonical import canonical

    if name.lower().endswith(FILES):
        return canonical(replace(load_model(name).network, name=Path(name).stem))
    return canonical(initialised(structure(name), seed))


def sheet_entry(analysis: Analysis) -> dict[str, Any]:
    """One network of the sheet, as JSON: exact integers, and kB and MMAC rounded as in print."""
    rules = {
        rule: asdict(figures)
        | {
            "ram_bytes": figures.ram_bytes,
            "ram_kb": round(figures.ram_bytes / 1e3, 1),
            "train_mmacs": round(figures.train_macs / 1e6, 1),
            "infer_mmacs": round(figures.infer_macs / 1e6, 1),
        }
        for rule, figures in analysis.rules.items()
    }
    return {
        "network": analysis.network,
        "benchmark": analysis.benchmark,
        "parts": asdict(analysis.parts),
        "rules": rules,
        "layers": [asdict(layer) for layer in analysis.layers],
        "deviations": _deviations(analysis),
    }


def _deviations(analysis: Analysis) -> list[dict[str, Any]]:
    from edgeff.studies.analytic.deviations import DEVIATIONS

    return [
        {"name": d.name, "kind": d.kind, "text": d.text, "effect": dict(analysis.effects[d.name])}
        for d in DEVIATIONS
        if d.name in analysis.effects
    ]


def program_entry(figures: ProgramFigures) -> dict[str, Any]:
    """One program, as JSON."""
    return {
        "network": figures.network,
        "rule": figures.rule,
        "numeric": figures.numeric,
        "infer": {"macs": figures.infer_macs, "arena_bytes": figures.infer_arena_bytes},
        "learn": {"macs": figures.learn_macs, "arena_bytes": figures.learn_arena_bytes},
        "reason": figures.reason,
    }


def _label(analysis: Analysis) -> str:
    return analysis.benchmark or analysis.network


def _full_label(analysis: Analysis) -> str:
    return f"{analysis.benchmark} {analysis.network}" if analysis.benchmark else analysis.network


def _print_sheet(analyses: Sequence[Analysis]) -> None:
    from edgeff.studies.analytic.pau_aymone import RULES, SOURCE

    departures = [(a, deviation) for a in analyses for deviation in _deviations(a)]
    print_line(f"By the conventions of {SOURCE}{', as in the published sheet' if departures else ''}")
    print_line("training RAM in kB (MMAC per training step); one byte per parameter and activation, one sample at a time")
    rows = [
        [
            _full_label(a),
            *(f"{a.rules[rule].ram_bytes / 1e3:.1f} ({a.rules[rule].train_macs / 1e6:.1f})" for rule in RULES),
            f"{a.rules['ff'].infer_macs / 1e6:.1f} / {a.rules['bp'].infer_macs / 1e6:.1f}",
        ]
        for a in analyses
    ]
    print_table(("network", *RULES.values(), "inference MMAC, FF / others"), rows)
    print_line("the same, exact")
    exact = [
        [_label(a), name, f.train_macs, f.infer_macs, f.activation_bytes, f.parameter_bytes, f.ram_bytes]
        for a in analyses
        for name, f in ((RULES[rule], figures) for rule, figures in a.rules.items())
    ]
    headings = (
        "network",
        "rule",
        "MACs per training step",
        "MACs per inference",
        "activation bytes",
        "parameter bytes",
        "training RAM bytes",
    )
    print_table(headings, exact)
    print_line("MACs of the parts")
    parts = [asdict(a.parts) for a in analyses]
    print_table(("network", *parts[0]), [[_label(a), *p.values()] for a, p in zip(analyses, parts, strict=True)])
    if departures:
        print_line("departures of the published sheet from its own conventions (--corrected leaves them out)")
        print_table(
            ("network", "kind", "what", "adds"),
            [[_label(a), d["kind"], f"{d['name']}: {d['text']}", _effect(d["effect"])] for a, d in departures],
        )


def _effect(effect: Mapping[str, int]) -> str:
    """The effect of a deviation, for people: the last part of each figure's name, and the rules with the same effect."""
    from edgeff.studies.analytic.pau_aymone import RULES

    grouped: dict[tuple[str, int], list[str]] = {}
    for name, value in effect.items():
        *_, owner, figure = name.split(".")
        grouped.setdefault((figure.replace("_", " "), value), []).extend([RULES[owner]] if owner in RULES else [])
    return ", ".join(f"{'/'.join(owners)} {figure} {value:+,}".lstrip() for (figure, value), owners in grouped.items())


def _print_layers(analyses: Sequence[Analysis]) -> None:
    for analysis in analyses:
        print_line(f"{_full_label(analysis)}: MACs by layer")
        rows = [[layer.name, layer.op, layer.forward, layer.backward, layer.update, layer.goodness] for layer in analysis.layers]
        print_table(("layer", "kind", "forward", "backward", "update", "goodness"), rows)


def _print_programs(analyses: Sequence[Analysis], programs: Sequence[Sequence[ProgramFigures]]) -> None:
    from edgeff.studies.analytic.pau_aymone import RULES

    print_line("edgeff's own programs, exact, compared with the sheet; the arena of a device that learns contains its weights")
    numerics = [*dict.fromkeys(by_numeric.numeric for several in programs for by_numeric in several)]
    rows: list[list[object]] = []
    reasons: dict[str, list[str]] = {}
    for analysis, several in zip(analyses, programs, strict=True):
        for rule in (None, *RULES):
            by_numeric = {figures.numeric: figures for figures in several if figures.rule == rule}
            of = [by_numeric.get(numeric) for numeric in numerics]
            arenas = [(f.learn_arena_bytes if rule else f.infer_arena_bytes) if f else None for f in of]
            name = RULES[rule] if rule else "inference only"
            published = analysis.rules[rule] if rule else None
            rows.append(
                [
                    _label(analysis),
                    name,
                    _common([f.infer_macs for f in by_numeric.values()]),
                    _common([f.learn_macs for f in by_numeric.values()]),
                    published.train_macs if published else None,
                    *arenas,
                    published.ram_bytes if published else None,
                ]
            )
            for figures in by_numeric.values():
                if figures.reason:
                    reasons.setdefault(figures.reason, []).append(f"{_label(analysis)} {name} {figures.numeric}")
    arenas_of = [f"arena bytes, {numeric}" for numeric in numerics]
    headings = (
        "network",
        "program",
        "MACs per inference",
        "MACs per training step",
        "sheet: MACs per step",
        *arenas_of,
        "sheet: RAM bytes",
    )
    print_table(headings, rows)
    for reason, which in reasons.items():
        print_line(f"no figures: {', '.join(dict.fromkeys(which))}: {reason}")


def _common(values: Sequence[int | None]) -> object:
    """The common value of all figures, else all of them as text."""
    return values[0] if len(set(values)) == 1 else " / ".join("-" if value is None else f"{value:,}" for value in values)
