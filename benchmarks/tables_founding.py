"""The tables of docs/results/founding_papers.md: every work from which this project began, what it claims, and what came of it here.

A line is a claim of a work, the figure here with its 95 % interval, from how many runs, its control and the verdict. ``SECTIONS`` has the
table of all and one for each experiment. What was not run has its line too, which says what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from results import load
from tables_memory import M4
from tables_rules import FEWEST_SEEDS, mean_interval, statements, table
from tables_rules import claims as published_claims
from tables_seeds import NAMES, PROTOCOL, cells, marked, of_rows, with_note

from edgeff.bench.statistics import Difference, paired_difference, summary

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
STAND_IN, NOT_COMPARABLE, MISSING = "stand-in", "not comparable", "not run yet"
SMALLER = f"{STAND_IN} (smaller network, part of the data)"

Results = Mapping[int, float | None]
Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Finding:
    """A line: what a work claims and what is here. ``rows`` are those that it is of, for the mark of what is to be run again."""

    work: str
    claim: str
    here: str
    counted: str
    control: str
    verdict: str
    rows: Rows = field(default=())

    def cells(self) -> list[str]:
        return [self.work, marked(self.claim, self.rows), self.here, self.counted, self.control, self.verdict]


def missing(work: str, claim: str, what: str) -> Finding:
    """A claim that nothing here was run for, and what is missing."""
    return Finding(work, claim, "-", "-", "-", f"{MISSING}: {what}")


def rows_of(name: str, *key: Any) -> list[dict[str, Any]]:
    """The rows of a results file whose key begins with ``key``, none where there is no such file."""
    return [row for row in load(name).get("rows", []) if row["key"][: len(key)] == list(key)]


def interval(results: Results) -> str:
    """The mean and its 95 % interval over the seeds that ended."""
    return mean_interval([value for value in results.values() if value is not None])


def between(first: Results, second: Results) -> Difference:
    """The paired difference. Raises ValueError where no seed has both."""
    difference = paired_difference(first, second)
    if difference is None:
        raise ValueError("no seed has both results")
    return difference


def outcome(difference: Difference, at_least: float = 0.0) -> str:
    """What a paired difference says of the claim that it is ``at_least`` so large: it has to be in all of its interval."""
    if difference.half is None or difference.pairs < FEWEST_SEEDS:
        return f"here it is open ({difference.pairs} seeds)"
    if difference.mean - difference.half >= at_least:
        return "here it holds"
    return "here it does not hold" if difference.mean + difference.half < at_least else "here it is open (the interval has both)"


def srinivasan() -> Iterator[Finding]:
    work = "Srinivasan et al. 2024"
    large = [row for row in load("theory").get("rows", []) if row["key"][0] >= 1000]
    if large:
        small, plain = ([100 * row["largest"][f"pepita {scale}"]["beyond_afa"] for row in large] for scale in ("0.005", "0.05"))
        yield Finding(
            work,
            "PEPITA is adaptive feedback alignment (AFA) to first order in the scale of its feedback",
            f"{min(small):.1f} to {max(small):.1f} % from AFA at a tenth of the scale",
            f"{len(large)} starts, {load('theory')['seeds']} seeds each",
            f"at the published scale {min(plain):.1f} to {max(plain):.1f} %",
            f"{REPRODUCED}, and not at the published scale",
            large,
        )
        afa = [100 * row["largest"]["afa 0"]["relative_error"] for row in large]
        yield Finding(
            work,
            "ordinary differential equations describe how AFA learns",
            f"at most {max(afa):.1f} % from the simulation of 1,000 inputs",
            f"{len(large)} starts, {load('theory')['seeds']} seeds each",
            "gradient descent, fixed hidden layer, by equations",
            f"{REPRODUCED}, with starts and equations of our own",
            large,
        )
    wanted = ("PEPITA", "weight decay 1e-4 and mirroring", "weight decay 3e-5 and mirroring", "normalised, mirroring")
    for claim in published_claims():
        if claim.shown.startswith("PEPITA") and claim.shown.endswith(wanted):
            words = f"{claim.shown} reaches {claim.published:.2f} % on MNIST"
            _, _, _, _, here, counted, control, said = claim.cells()
            yield Finding(work, words, here, counted, control, said, claim.ours)
    yield from depth_findings(work)


def depth_findings(work: str) -> Iterator[Finding]:
    by = depth_results()
    if not by:
        yield missing(work, "PEPITA trains networks of two to five layers", "2 to 5 layers for BP, DFA, PEPITA's variants and FF")
        return
    deepest = max(network for network, _ in by)
    control, rows = by[deepest, "frozen"], load("depth")["rows"]
    for way, words in (("pepita+norm", "normalised"), ("pepita+norm+wm", "normalised and mirrored")):
        ours = by[deepest, way]
        gained = between(ours, control)
        yield Finding(
            work,
            f"PEPITA, {words}, trains networks of up to five layers",
            f"{interval(ours)}, {gained.shown()} above frozen: five layers, hidden ones of 32 units",
            summary(ours).counted,
            f"frozen {interval(control)}; plain PEPITA ends in {summary(by[deepest, 'pepita']).counted}",
            f"{STAND_IN} (digits); {outcome(gained)}",
            rows,
        )


def pau_aymone() -> Iterator[Finding]:
    work = "Pau & Aymone 2023"
    yield Finding(
        work,
        "MACs, activations and parameters of BP, FF, PEPITA and MEMPEPITA on four networks, by their formulas",
        "16 of 16 entries, to the last digit ([analytic](../analytic.md))",
        "exact",
        "the integers published, in a test",
        REPRODUCED,
    )
    rows = {tuple(row["key"]): row for row in load("memory_networks").get("rows", [])}
    networks = ("ds_cnn", "resnet8", "mobilenet_v1_025", "fc_ae")
    shares, macs = [], []
    for network in networks:
        plain, less = (rows[network, rule, "int8", M4] for rule in ("pepita", "mempepita"))
        shares.append(100 * (1 - ram(less) / ram(plain)))
        macs.append(100 * (less["learn_macs"] / plain["learn_macs"] - 1))
    shown = ", ".join(f"{share:.0f} % ({network})" for share, network in zip(shares, networks, strict=True))
    yield Finding(
        work,
        "MEMPEPITA learns in about a third less RAM than PEPITA for a third more MACs",
        f"RAM less by {shown}; {min(macs):.0f} to {max(macs):.0f} % more MACs",
        "exact, int8, ELF and stack",
        "PEPITA, the same bits",
        f"{REPRODUCED} for DS-CNN and MobileNet, not for the other two",
        list(rows.values()),
    )
    forward, back = (rows["ds_cnn", rule, "int8", M4] for rule in ("ff", "bp"))
    yield Finding(
        work,
        "FF trains DS-CNN in 43.2 kB where BP takes 95.2 kB",
        f"{ram(forward) / 1000:.1f} kB, BP {ram(back) / 1000:.1f} kB",
        "exact, int8, ELF and stack",
        "BP",
        f"{NOT_REPRODUCED}: here a layer keeps the passes of both labels, and the label is ten channels more",
        list(rows.values()),
    )


def ram(row: Mapping[str, Any]) -> int:
    """Static RAM and stack, bytes."""
    return int(row["static_ram"] + row["stack"])


def al_hammadi() -> Iterator[Finding]:
    yield missing(
        "Al-Hammadi et al. 2024",
        "FF classifies camera-trap pictures on an edge device (only the title is at hand)",
        "an animals-or-rest task at 96x96 as a stand-in; the real pictures are not at hand",
    )


def flugel() -> Iterator[Finding]:
    work = "Flugel et al. 2024"
    rows = rows_of("forward_gradients", "forward_gradient", "weights")
    yield from tangent_findings(work, rows, "test", "dense 64-32-10, digits", rows_of("forward_gradients", "frozen"))
    convolutional = rows_of("tangents", "forward_gradient")
    if convolutional:
        rows = [{**row, "key": ["forward_gradient", "weights", *row["key"][1:]]} for row in convolutional]
        yield from tangent_findings(work, rows, "accuracy", "two convolutions, digits", rows_of("tangents", "frozen"))
    else:
        yield missing(work, "the same on a convolutional network", "k = 1 to 64; `benchmarks/tangents.py` is ready")


def tangent_findings(work: str, rows: Rows, value: str, where: str, control: Rows) -> Iterator[Finding]:
    """More directions are better, and their projection is better than their mean."""

    def by(projection: str, count: int) -> dict[int, float]:
        return {row["key"][4]: row[value] for row in rows if row["key"][2:4] == [projection, count]}

    most = max(row["key"][3] for row in rows)
    frozen = interval({row["key"][-1]: row[value] for row in control})
    gained = between(by("orthogonal", most), by("orthogonal", 1))
    words = f"accuracy grows with the number of tangents ({where}: {most} against 1, projected)"
    yield Finding(
        work, words, f"{gained.shown()} points", str(gained.pairs), f"frozen {frozen}", f"{STAND_IN} (digits); {outcome(gained)}", rows
    )
    gained = between(by("orthogonal", most), by("mean", most))
    words = f"the orthogonal projection is better than the mean ({where}, {most} tangents)"
    beside = f"the mean {interval(by('mean', most))}"
    yield Finding(work, words, f"{gained.shown()} points", str(gained.pairs), beside, f"{STAND_IN} (digits); {outcome(gained)}", rows)


STORED = 32
"""The stored samples of the line on a device."""


def mori() -> Iterator[Finding]:
    work = "Mori, Sarao Mannelli & Mignacco 2024"
    losses = {tuple(row["key"][1:3]): sum(row["errors"][-1]) for row in rows_of("replay_schedule", "theory")}
    alike = sorted({similarity for _, similarity in losses})
    optimal, late = ([losses[way, each] / losses["uniform", each] for each in alike] for way in ("optimal", "late"))
    better = all(best < min(1.0, other) for best, other in zip(optimal, late, strict=True))
    yield Finding(
        work,
        "a schedule of tasks and replay by control theory ends with less error than an even one, and than replay at the end",
        f"{100 * min(optimal):.0f} to {100 * max(optimal):.0f} % of the error of even replay, as many steps",
        f"{len(alike)} similarities",
        f"late replay: {100 * min(late):.0f} to {100 * max(late):.0f} %",
        f"{REPRODUCED}, with a start and a solver of our own" if better else NOT_REPRODUCED,
        rows_of("replay_schedule", "theory"),
    )

    def both(way: str) -> dict[int, float | None]:
        return {row["key"][-1]: (row["known"] + row["new"]) / 2 for row in rows_of("replay_schedule", "device", way, STORED)}

    gained = between(both("optimal"), both("uniform"))
    yield Finding(
        work,
        "such a schedule is better than an even one on real data",
        f"{gained.shown()} points on both halves of the digits, {STORED} stored samples, by the C",
        str(gained.pairs),
        f"even replay {interval(both('uniform'))}, none {interval(both('none'))}",
        f"{STAND_IN} (digits); {outcome(gained)}",
        rows_of("replay_schedule", "device"),
    )


def chen_scff() -> Iterator[Finding]:
    work = "Chen et al. 2024 (SCFF)"
    for claim in published_claims():
        if claim.shown == "SCFF, images moved":
            _, _, _, _, reached, counted, drawn, said = claim.cells()
            yield Finding(work, f"SCFF reaches {claim.published:.2f} % on MNIST", reached, counted, drawn, said, claim.ours)
    ours, control = (
        [row for row in rows_of("rules", "cifar10", "cnn_small", rule) if PROTOCOL not in row["key"]] for rule in ("scff", "frozen+scff")
    )  # by the settings of the rule's page, which were looked for longer than the protocol allows
    here, beside = (float_results(rows) for rows in (ours, control))
    yield Finding(
        work,
        "SCFF's convolutions reach 80.75 % on CIFAR-10",
        f"{interval(here)}, {between(here, beside).shown()} above its control",
        summary(here).counted,
        f"{interval(beside)} ({len(beside)})",
        f"{NOT_COMPARABLE}: 20 to 80 channels, 10,000 images, 10 epochs",
        [*ours, *control],
    )
    yield missing(
        work,
        "a bi-directional recurrent network learns spoken digits by SCFF",
        "a rule that trains a recurrent layer, on FSDD, three read-outs",
    )


def float_results(rows: Rows) -> dict[int, float | None]:
    """The accuracies in per cent by seed of rows that hold a run."""
    shares = {int(row["key"][-1]): row["run"].get("accuracy", {}).get("float") for row in rows}
    return {seed: None if share is None else 100 * share for seed, share in shares.items()}


TARGET_PA, DATA_BYTES, CODE_BYTES = 50, 8192, 32_768
"""What a sensor's own memory has to hold, and how exact it is to be (Saccani et al.)."""


def saccani() -> Iterator[Finding]:
    work = "Saccani, Pau & Amoretti 2024"
    for numeric in ("int16", "int8"):
        rows = rows_of("scenarios", "pressure", "bp", numeric)
        within = sum(row["recovered"] is not None for row in rows)
        cost = next(row["cost"] for row in rows if "cost" in row)
        taken = cost["static_ram_bytes"] + cost["stack_bytes"]
        fits = taken <= DATA_BYTES and cost["flash_bytes"] <= CODE_BYTES
        errors = sorted(row["after"] for row in rows)
        yield Finding(
            work,
            f"a drifted pressure sensor recalibrates itself to {TARGET_PA} Pa in 8 KiB of data and 32 KiB of code ({numeric})",
            f"{within} of {len(rows)} devices, {errors[0]:.0f} to {errors[-1]:.0f} Pa; {taken:,} and {cost['flash_bytes']:,} bytes",
            f"{len(rows)} devices",
            f"a line by least squares: {min(row['line'] for row in rows):.0f} to {max(row['line'] for row in rows):.0f} Pa",
            f"{STAND_IN}: a model of a barometer's drift; {'fits' if fits else 'does not fit'}, and the line is better at first",
            rows,
        )


def izzo() -> Iterator[Finding]:
    work = "Izzo et al. (SHELOB-FFL)"
    rows = rows_of("rules", "cifar10", "cnn_small", "block_ff")
    here, beside = float_results(rows), float_results(rows_of("rules", "cifar10", "cnn_small", "frozen"))
    yield Finding(
        work,
        "FF between blocks, BP inside them, trains a network (one client)",
        f"{interval(here)} on CIFAR-10's subset by CwC's goodness",
        summary(here).counted,
        f"frozen {interval(beside)} ({len(beside)})",
        f"{NOT_COMPARABLE}: one client, another goodness",
        rows,
    )
    for alpha, dealt in ((None, "even data"), (0.1, "Dirichlet .1")):
        unequal, small, large = (last_round("bp", fleet, alpha) for fleet in ("unequal", "all small", "all large"))
        gained = between(unequal, small)
        yield Finding(
            work,
            f"clients of unequal resources learn blocks together, better than if all had the least ({dealt})",
            f"{interval(unequal)}, {gained.shown()} points above it",
            str(gained.pairs),
            f"all small {interval(small)}, all large {interval(large)}",
            f"{NOT_COMPARABLE}: back-propagation in the layers of a client, Fashion-MNIST; {outcome(gained)}",
            rows_of("fleet", "bp", "unequal", alpha),
        )


def last_round(rule: str, fleet: str, alpha: float | None) -> dict[int, float | None]:
    """The accuracy in per cent by seed after a fleet's last round, without a proximal term."""
    return {row["key"][-1]: 100 * row["rounds"][-1]["accuracy"] for row in rows_of("fleet", rule, fleet, alpha, False)}


EXIT_COSTS = 1.0
"""What an early exit may cost, in points, to be at equal accuracy."""


def exit_finding(work: str, task: str, rule: str, rows: Rows) -> Finding:
    """What early exits cost and save one rule on one task, beside hidden layers as drawn."""

    def walked(name: str) -> tuple[list[dict[str, Any]], Difference, float]:
        own = [row for row in rows if row["key"][:2] == [task, name]]
        early, whole = ({row["key"][2]: row[way]["accuracy"] for row in own} for way in ("margin", "whole"))
        return own, between(early, whole), fmean(row["margin"]["layers"] for row in own)

    own, cost, layers = walked(rule)
    _, drawn, drawn_layers = walked("frozen")
    macs = fmean(row["margin"]["macs"] / row["whole"]["macs"] for row in own)
    return Finding(
        work,
        f"an early exit costs {NAMES.get(rule, rule)} at most {EXIT_COSTS:g} point ({task})",
        f"{cost.shown()} points at {layers:.2f} of {own[0]['whole']['layers']} layers, {100 * macs:.0f} % of the MACs",
        str(cost.pairs),
        f"hidden layers as drawn: {drawn.shown()} points at {drawn_layers:.2f} layers",
        f"{SMALLER}; {outcome(cost, -EXIT_COSTS)}",
        own,
    )


def aminifar() -> Iterator[Finding]:
    work = "Aminifar et al. 2024 (LightFF)"
    for statement in statements():
        if "LightFF" in statement.shown:
            _, schedule, _, difference, counted, control, said = statement.cells()
            words = f"{statement.shown} ({schedule})"
            yield Finding(work, words, f"{difference} points", counted, control, said, statement.rows)
    rows = rows_of("light_exits")
    if not rows:
        yield missing(work, "exits for FF, PEPITA and BP on MIT-BIH and MNIST", "the walk for all three, with and without the leak")
    for task, rule in dict.fromkeys(tuple(row["key"][:2]) for row in rows):
        if rule != "frozen":
            yield exit_finding(work, task, rule, rows)


def lee() -> Iterator[Finding]:
    work, rows = "Lee, Yang & Park 2024", rows_of("input_modulation")
    words = "PEPITA's modulation mixed with an adversarial one is more exact and more robust, by activation function"
    if not rows:
        yield missing(work, words, "both modulations over four activations")
    for activation in dict.fromkeys(row["key"][0] for row in rows):
        own = [row for row in rows if row["key"][0] == activation]

        def of(way: str, what: str, own: Rows = own) -> dict[int, float]:
            return {row["key"][2]: row[what] for row in own if row["key"][1] == way}

        exact, robust = (between(of("mixed", what), of("pepita", what)) for what in ("natural", "pgd"))
        beside = f"PEPITA {interval(of('pepita', 'natural'))}, under PGD {interval(of('pepita', 'pgd'))}"
        said = f"{STAND_IN} (digits); accuracy: {outcome(exact)}; robustness: {outcome(robust)}"
        shown = f"{exact.shown()} points of accuracy, {robust.shown()} under PGD of 0.1"
        yield Finding(work, f"{words}: {activation}", shown, str(exact.pairs), beside, said, own)


def lost(model: Mapping[str, float]) -> float:
    """How far the accuracy under PGD is below the natural one, in points."""
    return model["natural"] - model["pgd"]


def farinha() -> Iterator[Finding]:
    work = "Farinha et al. 2023"
    for statement in statements():
        if "Farinha" in statement.shown:
            _, schedule, _, difference, counted, control, said = statement.cells()
            words = f"PEPITA is more robust than BP at equal natural accuracy, neither trained on attacks: PGD of 0.05 ({schedule})"
            yield Finding(work, words, f"{difference} points", counted, f"frozen {control}", said, statement.rows)
    rows = rows_of("adversarial_training")
    words = "trained on attacks, at equal natural accuracy, PEPITA's accuracy under attack is .26 points lower and BP's 8.05"
    if not rows:
        yield missing(work, words, "both trained on FGSM and PGD examples")
    for task, training in dict.fromkeys(tuple(row["key"][:2]) for row in rows):
        own = [row for row in rows if row["key"][:2] == [task, training]]
        if training == "none":
            continue
        pepita, bp, frozen = ({row["key"][2]: lost(row["models"][name]) for row in own} for name in ("pepita", "bp", "frozen"))
        first, second = ({row["key"][2]: row["models"][name]["natural"] for row in own} for name in ("pepita", "bp"))
        gained = between(bp, pepita)
        yield Finding(
            work,
            f"{words} ({task}, trained on {training.upper()}; our reading: PEPITA loses less than BP)",
            f"PEPITA {interval(pepita)}, BP {interval(bp)} points under PGD; natural, PEPITA less BP: {between(first, second).shown()}",
            str(gained.pairs),
            f"frozen {interval(frozen)}",
            hurried(own) or f"{SMALLER}; {outcome(gained)}",
            own,
        )


EARLY = 0.15
"""Of PEPITA's steps: where back-propagation passes its accuracy within so many, it has hardly learned, and nothing is matched."""


def hurried(rows: Rows) -> str:
    """Why a match of natural accuracies is none, where back-propagation was stopped at its very beginning; else ''."""
    steps = [row["models"]["bp"]["steps"] for row in rows]
    every = max(row["models"]["pepita"]["steps"] for row in rows)
    if max(steps) > EARLY * every:
        return ""
    return f"{NOT_COMPARABLE}: BP passes PEPITA's natural accuracy within {min(steps)} to {max(steps)} of {every} steps, hardly trained"


def momeni() -> Iterator[Finding]:
    work = "Momeni et al. 2023 (PhyLL)"
    learned, control = (rows_of("rules", "digits", "64-32-10", rule, "protocol") for rule in ("phyll", "frozen"))
    here, beside = ({int(row["key"][-1]): 100 * row["run"]["accuracy"]["float"] for row in rows} for rows in (learned, control))
    yield Finding(
        work,
        "layers between fixed physical systems, which are only run forwards, learn by a cosine",
        f"{interval(here)}, {between(here, beside).shown()} above frozen, on digits through simulated speckle",
        str(len(here)),
        f"frozen {interval(beside)}, without the systems ({len(beside)})",
        f"{STAND_IN}: simulated systems",
        [*learned, *control],
    )
    rows = rows_of("black_box")
    if not rows:
        yield missing(work, "the system may be a black box", "a system in compiled C, an ADC behind a sensor, that nobody differentiates")
        return
    by = {way: of_rows(row for row in rows if row["key"][0] == way) for way in dict.fromkeys(row["key"][0] for row in rows)}
    for bits in (8, 3):
        ours, drawn = by[f"phyll, {bits} bits"], by[f"as drawn, {bits} bits"]
        gained = between(ours, drawn)
        yield Finding(
            work,
            f"the system may be a black box: compiled C, an ADC of {bits} bits behind a sensor",
            f"{interval(ours)}, {gained.shown()} above layers as drawn",
            str(gained.pairs),
            f"as drawn {interval(drawn)}; BP without a box {interval(by['bp'])}; shuffled labels {interval(by['shuffled, 8 bits'])}",
            f"{STAND_IN} (digits, the box on the host); {outcome(gained)}",
            rows,
        )


def chen_tdca() -> Iterator[Finding]:
    work = "Chen, Liu & Wang 2022 (TDCA)"
    for statement in statements():
        if "TDCA" in statement.shown:
            _, schedule, _, difference, counted, control, said = statement.cells()
            words, beside = f"TDCA is better than BP ({schedule})", f"frozen {control}"
            yield Finding(work, words, f"{difference} points", counted, beside, f"{said}; 250 times less evolution", statement.rows)
    yield missing(work, "TDCA minimises non-convex functions and learns by reinforcement", "both tasks")


WORKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    srinivasan,
    pau_aymone,
    al_hammadi,
    flugel,
    mori,
    chen_scff,
    saccani,
    izzo,
    aminifar,
    lee,
    farinha,
    momeni,
    chen_tdca,
)


def founding() -> str:
    """Every claim of every work."""
    heads = ["work", "claim", "here, 95 %", "n", "control", "verdict"]
    return with_note(table(heads, [finding.cells() for work in WORKS for finding in work()], 6))


# ---------------------------------------------------------------- one table an experiment


def depth_results() -> dict[tuple[str, str], dict[int, float | None]]:
    """The accuracies of ``depth.json`` by network and way, by seed."""
    found: dict[tuple[str, str], dict[int, float | None]] = {}
    for row in load("depth").get("rows", []):
        network, way, seed = row["key"]
        found.setdefault((network, way), {})[seed] = row["accuracy"]
    return found


def depth() -> str:
    """A line a way of learning, a column a depth."""
    by = depth_results()
    if not by:
        return "Not measured yet."
    networks, ways = (list(dict.fromkeys(key[place] for key in by)) for place in (0, 1))
    rows = load("depth")["rows"]
    lines = []
    for way in ways:
        shown = []
        for network in networks:
            over = summary(by.get((network, way), {}))
            shown.append(f"{over.shown()}" + (f" ({over.counted})" if over.diverged else ""))
        lines.append([marked(NAMES.get(way, way), [row for row in rows if row["key"][1] == way]), *shown])
    return with_note(table(["digits, accuracy %, 5 seeds", *(f"{network.count('-')} layers" for network in networks)], lines))


def tangents() -> str:
    """A line a count of directions, a column each way to combine them."""
    rows = load("tangents").get("rows", [])
    if not rows:
        return "Not measured yet."
    control = of_rows(row for row in rows if row["key"][0] == "frozen")
    lines = []
    for rule, projection, count in dict.fromkeys(tuple(row["key"][:3]) for row in rows):
        own = [row for row in rows if row["key"][:3] == [rule, projection, count]]
        name = f"{count} tangents, {projection}" if projection else NAMES.get(rule, rule)
        lines.append([marked(name, own), *cells(of_rows(own), None if rule == "frozen" else control)])
    return with_note(table(["two convolutions on digits", "accuracy, %", "seeds", "above frozen (95 %)"], lines))


def deeper() -> str:
    """A line a rule: by the network's head and by the rule's own goodness, each above frozen filters."""
    rows = rows_of("deeper_forward")
    if not rows:
        return "Not measured yet."
    control, forward = (of_rows(row for row in rows if row["key"][0] == rule) for rule in ("frozen", "ff"))
    lines = []
    for rule in dict.fromkeys(row["key"][0] for row in rows):
        own = [row for row in rows if row["key"][0] == rule]
        for what, words in (("accuracy", "head"), ("own", "goodness")):
            values = {row["key"][1]: row[what] for row in own if what in row}
            if values:
                above_frozen = "-" if rule == "frozen" else between(values, control).shown()
                above_ff = "-" if (rule, what) == ("ff", "accuracy") or not forward else between(values, forward).shown()
                name = marked(NAMES.get(rule, rule), own)
                lines.append([name, words, summary(values).shown(), str(len(values)), above_frozen, above_ff])
    heads = ["CIFAR-10 at 16x16, `cnn_small`", "predicts by", "accuracy, %", "seeds", "above frozen (95 %)", "above FF's head (95 %)"]
    return with_note(table(heads, lines, 2))


def exits() -> str:
    """A line a task and rule: the whole network, the walk, and the walk that reads the test labels."""
    rows = rows_of("light_exits")
    lines = []
    for task, rule in dict.fromkeys(tuple(row["key"][:2]) for row in rows):
        own = [row for row in rows if row["key"][:2] == [task, rule]]
        shown = []
        for way in ("whole", "margin", "leak"):
            accuracies = summary({row["key"][2]: row[way]["accuracy"] for row in own}).shown()
            layers, macs = (fmean(row[way][what] for row in own) for what in ("layers", "macs"))
            shown += [accuracies, f"{layers:.2f}", f"{macs:,.0f}"]
        lines.append([task, marked(NAMES.get(rule, rule), own), str(len(own)), *shown])
    if not lines:
        return "Not measured yet."
    heads = [f"{way}: {what}" for way in ("whole", "early exit", "with the leak") for what in ("accuracy, %", "layers", "MACs")]
    return with_note(table(["task", "rule", "seeds", *heads], lines, 2))


def adversarial() -> str:
    """A line a task, way of training and rule: natural accuracy, that under attack, and how far it is below."""
    rows = rows_of("adversarial_training")
    lines = []
    for task, training in dict.fromkeys(tuple(row["key"][:2]) for row in rows):
        own = [row for row in rows if row["key"][:2] == [task, training]]
        place = [f"{task}, {own[0]['epsilon']:g}", training if training == "none" else training.upper()]
        for name in own[0]["models"]:
            models = {row["key"][2]: row["models"][name] for row in own}
            shown = [summary({seed: model[what] for seed, model in models.items()}).shown() for what in ("natural", "fgsm", "pgd")]
            below = summary({seed: lost(model) for seed, model in models.items()}).shown()
            unmatched = sum(not model.get("matched", True) for model in models.values())
            words = NAMES.get(name, name) + (", stopped" if name == "bp" else "") + (f" ({unmatched} not matched)" if unmatched else "")
            lines.append([*place, marked(words, own), str(len(own)), *shown, below])
    if not lines:
        return "Not measured yet."
    heads = ["task, epsilon", "trained on", "rule", "seeds", "natural, %", "FGSM, %", "PGD, %", "natural less PGD, points"]
    return with_note(table(heads, lines, 3))


def modulation() -> str:
    """A line a way, two columns an activation function: accuracy, and that under PGD."""
    rows = rows_of("input_modulation")
    if not rows:
        return "Not measured yet."
    activations, ways = (list(dict.fromkeys(row["key"][place] for row in rows)) for place in (0, 1))
    lines = []
    for way in ways:
        shown = []
        for activation in activations:
            own = [row for row in rows if row["key"][:2] == [activation, way]]
            shown += [summary({row["key"][2]: row[what] for row in own}).shown() for what in ("natural", "pgd")]
        lines.append([marked(NAMES.get(way, way), [row for row in rows if row["key"][1] == way]), *shown])
    seeds = len({row["key"][2] for row in rows})
    heads = [f"digits, {seeds} seeds, %", *(f"{activation}: {what}" for activation in activations for what in ("natural", "PGD 0.1"))]
    return with_note(table(heads, lines))


def boxes() -> str:
    """A line a way of learning around the black box."""
    rows = rows_of("black_box")
    if not rows:
        return "Not measured yet."
    lines = []
    for way in dict.fromkeys(row["key"][0] for row in rows):
        own = [row for row in rows if row["key"][0] == way]
        drawn = of_rows(row for row in rows if row["key"][0] == f"as drawn, {way.rpartition(', ')[2]}")
        above_drawn = between(of_rows(own), drawn).shown() if way.startswith("phyll") and drawn else "-"
        lines.append([marked(way, own), summary(of_rows(own)).shown(), str(len(own)), above_drawn])
    return with_note(table(["64-32-10 on digits", "accuracy, %", "seeds", "above layers as drawn (95 %)"], lines))


SECTIONS: dict[str, Callable[[], str]] = {
    "founding": founding,
    "founding_depth": depth,
    "founding_tangents": tangents,
    "founding_exits": exits,
    "founding_adversarial": adversarial,
    "founding_modulation": modulation,
    "founding_boxes": boxes,
    "founding_deeper": deeper,
}
