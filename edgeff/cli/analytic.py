"""``edgeff analytic``: the analytic table of Pau & Aymone (2023) from the geometry of networks, and the exact figures of edgeff's programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.models import inference_only, load_model
from edgeff.cli.options import common
from edgeff.cli.terminal import print_json, print_line, print_table, stages
from edgeff.errors import EdgeffError

if TYPE_CHECKING:
    from edgeff.analytic.deviations import Analysis
    from edgeff.cli.terminal import Stages
    from edgeff.ir import Network, Numeric

NUMERICS: tuple[Numeric, ...] = ("int8", "float32")
FILES = (".onnx", ".tflite", ".keras", ".h5")


@click.command("analytic", epilog="Example: edgeff analytic ds_cnn resnet8 --corrected")
@click.argument("networks", metavar="[NETWORK]...", nargs=-1)
@click.option("--corrected", is_flag=True, help="Leave out where the published sheet departs from its own conventions.")
@click.option("--layers", "by_layer", is_flag=True, help="Show the MACs of every layer too.")
@common
def command(networks: Sequence[str], corrected: bool, by_layer: bool, as_json: bool, seed: int | None) -> None:
    """Show what training takes by the published analytic table of Pau & Aymone (2023), beside the exact figures of edgeff's programs.

    NETWORK: a registered network, a dense list such as 64-32-10 or a model file. By default the four networks of the publication, whose
    figures are then the published ones to the last digit.
    """
    from edgeff.analytic.deviations import BENCHMARKS, analyse
    from edgeff.analytic.pau_aymone import SOURCE

    names = networks or tuple(BENCHMARKS)
    loaded = [_network(name, seed or 0) for name in names]
    analyses = [
        analyse(network, benchmark=BENCHMARKS.get(name), corrected=corrected) for name, network in zip(names, loaded, strict=True)
    ]
    with stages() as report:
        programs = [entry for network in loaded for entry in program_figures(network, seed or 0, report)]
    if as_json:
        sheet = {"source": SOURCE, "corrected": corrected, "networks": [sheet_entry(analysis) for analysis in analyses]}
        print_json({"sheet": sheet, "programs": programs})
        return
    _print_sheet(analyses, corrected)
    if by_layer:
        _print_layers(analyses)
    _print_programs(analyses, programs)


def _network(name: str, seed: int) -> Network:
    """The network that ``name`` names, with parameters and its batch normalisation folded."""
    from edgeff.layers.folding import fold
    from edgeff.networks import initialised, structure

    return fold(load_model(name).network if name.lower().endswith(FILES) else initialised(structure(name), seed))


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
    from edgeff.analytic.deviations import DEVIATIONS

    return [
        {"name": d.name, "kind": d.kind, "text": d.text, "effect": dict(analysis.effects[d.name])}
        for d in DEVIATIONS
        if d.name in analysis.effects
    ]


def program_figures(network: Network, seed: int, report: Stages) -> list[dict[str, Any]]:
    """The exact figures of edgeff's programs for ``network``: inference, and a learning step of each of the sheet's rules, in each numeric.

    What does not lower has a ``reason`` in place of figures. Calibration is on random inputs: neither MACs nor bytes depend on data.
    """
    import numpy as np

    from edgeff.analytic.pau_aymone import RULES
    from edgeff.cost import cost
    from edgeff.deploy import deploy

    x = np.random.default_rng([seed, 2]).standard_normal((2, *network.input_shape)).astype(np.float32)
    target = "class" if network.layers[-1].op == "softmax" else "input"
    found: list[dict[str, Any]] = []
    configurations = [(numeric, rule) for numeric in NUMERICS for rule in (None, *RULES)]
    for done, (numeric, rule) in enumerate(configurations):
        report(f"{network.name}, {rule or 'inference'} in {numeric}", done, len(configurations))
        infer: dict[str, int | None] = {"macs": None, "arena_bytes": None}
        learn, reason = dict(infer), None
        try:
            program = deploy(network, x, rule=rule, numeric=numeric, seed=seed, target=target).program
            whole = cost(program)
            infer = {"macs": whole.infer_macs, "arena_bytes": cost(inference_only(program)).memory.arena_bytes}
            if rule:
                learn = {"macs": whole.learn_macs, "arena_bytes": whole.memory.arena_bytes}
        except EdgeffError as error:
            reason = str(error)
        found.append({"network": network.name, "rule": rule, "numeric": numeric, "infer": infer, "learn": learn, "reason": reason})
    return found


def _label(analysis: Analysis) -> str:
    return f"{analysis.benchmark} {analysis.network}" if analysis.benchmark else analysis.network


def _print_sheet(analyses: Sequence[Analysis], corrected: bool) -> None:
    from edgeff.analytic.pau_aymone import RULES, SOURCE

    print_line(f"{SOURCE}: {'their conventions' if corrected else 'their sheet'} from the geometry of the networks")
    print_line("training RAM in kB (MMAC a training step); one byte a parameter and an activation, batch 1")
    rows = [
        [
            _label(a),
            *(f"{a.rules[rule].ram_bytes / 1e3:.1f} ({a.rules[rule].train_macs / 1e6:.1f})" for rule in RULES),
            f"{a.rules['ff'].infer_macs / 1e6:.1f} / {a.rules['bp'].infer_macs / 1e6:.1f}",
        ]
        for a in analyses
    ]
    print_table(("network", *RULES.values(), "inference MMAC, FF / others"), rows)
    print_line("exact")
    exact = [
        [_label(a), name, f.train_macs, f.infer_macs, f.activation_bytes, f.parameter_bytes, f.ram_bytes]
        for a in analyses
        for name, f in ((RULES[rule], figures) for rule, figures in a.rules.items())
    ]
    headings = ("network", "rule", "MACs a training step", "MACs an inference", "activation bytes", "parameter bytes", "training RAM bytes")
    print_table(headings, exact)
    print_line("MACs of the parts")
    parts = [asdict(a.parts) for a in analyses]
    print_table(("network", *parts[0]), [[_label(a), *p.values()] for a, p in zip(analyses, parts, strict=True)])
    if found := [(a, deviation) for a in analyses for deviation in _deviations(a)]:
        print_line("where the published sheet departs from its own conventions (--corrected leaves this out)")
        print_table(
            ("network", "kind", "what", "adds"),
            [[_label(a), d["kind"], f"{d['name']}: {d['text']}", _effect(d["effect"])] for a, d in found],
        )


def _effect(effect: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value:+,}" for name, value in effect.items())


def _print_layers(analyses: Sequence[Analysis]) -> None:
    for analysis in analyses:
        print_line(f"{_label(analysis)}: MACs by layer")
        rows = [[layer.name, layer.op, layer.forward, layer.backward, layer.update, layer.goodness] for layer in analysis.layers]
        print_table(("layer", "kind", "forward", "backward", "update", "goodness"), rows)


def _print_programs(analyses: Sequence[Analysis], programs: Sequence[Mapping[str, Any]]) -> None:
    from edgeff.analytic.pau_aymone import RULES

    labels = {analysis.network: _label(analysis) for analysis in analyses}
    print_line("edgeff's own programs, exact: the kernel calls and the arena of a device; the arena of a learning step holds the weights")
    rows = [
        [
            labels[entry["network"]],
            entry["numeric"],
            RULES.get(entry["rule"], "inference only"),
            *(entry[line][key] for line, key in (("infer", "macs"), ("infer", "arena_bytes"), ("learn", "macs"), ("learn", "arena_bytes"))),
        ]
        for entry in programs
    ]
    headings = ("network", "numeric", "rule", "MACs an inference", "arena bytes, inference", "MACs a training step", "arena bytes, learning")
    print_table(headings, rows)
    for entry in programs:
        if entry["reason"]:
            print_line(f"- {labels[entry['network']]}, {RULES.get(entry['rule'], 'inference')} in {entry['numeric']}: {entry['reason']}")
