"""Writes the tables of docs/results and docs/rules, the numbers in their prose and the pictures from ``benchmarks/results/*.json``.

A table stands between the markers of its name, a number between those of its claim (``claims.py``). ``--check`` exits 1 when a page or a
picture is not what it would write, or a claim does not hold.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import accuracy as accuracy_benchmark
import claims
import tables_conformance
import tables_convolutions
import tables_cores
import tables_engines
import tables_founding
import tables_graphs
import tables_kernels
import tables_memory
import tables_packages
import tables_picture
import tables_public
import tables_rules
import tables_scenarios
import tables_serial
import tables_service
import tables_tournament
import tables_tournament_picture
from mlperf_tiny import BOARD, CMSIS_NN, PUBLISHED_MS
from mutants import ANSWERS, NAMED, room_of
from peers import fewest
from results import load
from speed import FC_AE, FORMS, IN_C, SHIPPED, TARGETS
from tables_rules import rows_by, table
from tables_seeds import HEADS, NAMES, by_seed, cells, marked, of_rows, with_note

ROOT = Path(__file__).parents[1]
PAGES = (*claims.WATCHED, *claims.OTHERS)
PICTURES = ROOT / "docs" / "pictures"


def spread(row: dict[str, Any] | None) -> str:
    """Mean and deviation of a row of accuracies."""
    return f"{row['mean']:.1f} ± {row['deviation']:.1f}" if row else "-"


def accuracy() -> str:
    """Each rule on the wide network."""
    by = rows_by("accuracy", 1)
    return with_note(table([f"{accuracy_benchmark.NETWORK}, float32, host: rule", *HEADS], rule_lines(by, by["frozen"])))


def rule_lines(by: dict[str, list[dict[str, Any]]], control: list[dict[str, Any]]) -> list[list[str]]:
    """A line a rule, the control's first."""
    return [
        [
            marked("FF, by probing" if rule == "ff" else NAMES.get(rule, rule), rows),
            *cells(of_rows(rows), None if rule == "frozen" else of_rows(control)),
        ]
        for rule, rows in sorted(by.items(), key=lambda item: item[0] != "frozen")
    ]


def device_learning() -> str:
    rows: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for row in load("device_learning")["rows"]:
        rule, *form = row["key"][:3]
        rows.setdefault((form[0], form[1]), {}).setdefault(rule, []).append(row)
    forms = {
        ("float32", "none"): "float32",
        ("int16", "stochastic"): "int16",
        ("int8", "stochastic"): "int8",
        ("int8", "nearest"): "int8, round to nearest",
    }
    lines = [[shown, *line] for form, shown in forms.items() for line in rule_lines(rows[form], rows[form]["frozen"])]
    return with_note(table(["learned by the C, batch 1", "rule", *HEADS], lines, 2))


def speed() -> str:
    rows = {tuple(row["key"]): row for row in load("speed")["rows"]}
    others = {tuple(row["key"]): row for row in load("peers")["rows"]}
    lines = []
    for network in TARGETS:
        for what, call in CALLS.items():
            zig, gcc = (form(rows, network, call, toolchain, SHIPPED) for toolchain in ("zig", "gcc"))
            naive = {cost: fewest(others[network, "naive", call], cost) for cost in ("instructions", "cycles")}
            peers = [f"{name} {fewest(others[network, peer, call]):,}" for peer, name in PEERS.items() if (network, peer, call) in others]
            counts = [f"{count:,}" for count in (TARGETS[network][call], zig["instructions"], gcc["instructions"], naive["instructions"])]
            ratios = [f"{naive[cost] / zig[cost]:.2f}x" for cost in naive]
            lines.append([shown(network), what, *counts, *ratios, "; ".join(peers) or "-"])
    figures = ["target", "edgeff, zig", "edgeff, gcc", "naive C", "naive / edgeff, zig", "the same in modelled cycles"]
    return table(["network", "one call", *figures, "peers"], lines, 2)


PEERS = {"onnx2c": "onnx2c", "emlearn": "emlearn", "trainlib": "PULP-TrainLib", "aifes": "AIfES"}
CALLS = {"inference": "inference", "BP step": "bp", "PEPITA step, F generated": "pepita"}
"""What is counted of a network, and how ``TARGETS`` and peers.py name it."""


def shown(network: str) -> str:
    return "FC autoencoder, 264,192 weights" if network == FC_AE else network


def form(rows: Any, network: str, call: str, toolchain: str, name: str) -> dict[str, int]:
    """The cost of a call with the dense kernels of one form."""
    forms = rows[network, "pepita" if call == "pepita" else "bp"]["forms"][toolchain]
    cost: dict[str, int] = forms[name]["inference" if call == "inference" else "step"]
    return cost


def speed_forms() -> str:
    rows = {tuple(row["key"]): row for row in load("speed")["rows"]}
    lines = []
    for network in TARGETS:
        for what, call in CALLS.items():
            for toolchain in ("zig", "gcc"):
                costs = [form(rows, network, call, toolchain, name) for name in FORMS]
                lines.append([shown(network), what, toolchain, *(f"{cost['instructions']:,}; {cost['cycles']:,}" for cost in costs)])
    heads = {IN_C: "in C", "0": "EFF_CHAINED 0", SHIPPED: f"EFF_CHAINED {SHIPPED}, as shipped", "2": "EFF_CHAINED 2"}
    return table(["instructions; cycles modelled", "one call", "compiler", *(heads[name] for name in FORMS)], lines, 3)


def memory() -> str:
    rows = load("memory")["rows"]
    lines = []
    for row in rows:
        network, rule, numeric, board = row["key"]
        if board == "rpi_pico":
            continue
        same = all(row["planned"][name] == row["elf"][name] for name in row["planned"])
        lines.append(
            [
                network,
                numeric,
                rule,
                f"{row['persistent']:,}",
                f"{row['scratch']:,}",
                f"{row['stack']:,}",
                f"{row['elf']['constants']:,}",
                f"{row['flash']:,}",
                "equal" if same else "DIFFERENT",
            ]
        )
    return table(
        ["network", "numeric", "rule", "RAM: weights", "RAM: activations", "stack", "flash: constants", "flash: all", "plan and ELF"],
        lines,
        3,
    )


def demo() -> str:
    from edgeff.report import from_json, markdown_table

    return markdown_table(from_json(load("demo")))


TINY = {"ad": "FC-AE (AD)", "ic": "ResNet-8 (IC)", "kws": "DS-CNN (KWS)", "vww": "MobileNetV1 0.25 (VWW)"}


def tiny(*begin: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """The rows of the MLPerf Tiny benchmark whose key begins so, by the rest of their key."""
    rows = load("mlperf_tiny")["rows"]
    return {tuple(row["key"][len(begin) :]): row for row in rows if tuple(row["key"][: len(begin)]) == begin}


def mlperf_arena() -> str:
    lines = []
    for (task, _), row in tiny("arena").items():
        ours, bound = row["arena"], row["lower_bound"]
        lines.append(
            [TINY[task], f"{ours:,}", f"{bound:,}", f"{ours / bound:.2f}", f"{row['tflm_total']:,}", f"{row['tflm_activations']:,}"]
        )
    return table(["int8, bytes", "edgeff: arena", "lower bound", "ratio", "TFLM: arena", "TFLM: of it activations"], lines)


def mlperf_latency() -> str:
    rows, names = tiny("latency"), [*PUBLISHED_MS["ad"]]
    lines = []
    for task, shown in TINY.items():
        zig, gcc = rows[task, "int8", "zig"], rows[task, "int8", "gcc"]
        found = [shown, f"{gcc['instructions']:,}", f"{zig['instructions']:,}", f"{gcc['ms']:.1f}", f"{zig['ms']:.1f}"]
        lines.append([*found, *(f"{PUBLISHED_MS[task][name]:.1f}" for name in names)])
    versions = {row["toolchain"].split()[0]: row["toolchain"] for row in rows.values()}
    heads = [f"instructions, {versions['gcc']}", f"instructions, {versions['zig']}", "ms modelled, gcc", "ms modelled, zig"]
    return table([f"int8, {BOARD}", *heads, *(f"ms published, {name}" for name in names)], lines)


def mlperf_instructions() -> str:
    rows = tiny("latency")
    lines = []
    for (task, layer), (what, theirs) in CMSIS_NN.items():
        zig, gcc = (rows[task, "int8", name] for name in ("zig", "gcc"))
        calls = {name: (macs, instructions) for name, _, macs, instructions in gcc["calls"]}
        macs = calls[layer][0] if layer else gcc["macs"]
        ours = [next(c[3] for c in row["calls"] if c[0] == layer) if layer else row["instructions"] for row in (gcc, zig)]
        lines.append([what, f"{macs:,}", f"{theirs / macs:.2f}", *(f"{count / macs:.2f}" for count in ours)])
    return table(["int8, instructions per MAC", "MACs", "CMSIS-NN, gcc", "edgeff, gcc", "edgeff, zig"], lines)


def mlperf_boards() -> str:
    rows = tiny("boards")
    names = [name for name, value in next(iter(rows.values())).items() if isinstance(value, dict)]

    def cell(found: dict[str, int]) -> str:
        missing = [f"{-found[key]:,} {what}" for key, what in (("free_ram", "RAM"), ("free_flash", "flash")) if found[key] < 0]
        return f"misses {', '.join(missing)}" if missing else "fits"

    lines = [
        [TINY[task], numeric, f"{row['arena']:,}", f"{row['constants']:,}", *(cell(row[name]) for name in names)]
        for (task, numeric), row in rows.items()
    ]
    return table(["inference, bytes", "numeric", "arena", "constants", *names], lines, 2)


def reference() -> str:
    """The int8 reference models against every execution: differing values of all that were compared, and of how many inputs."""
    columns = {
        "C on the host": ("NumPy twin", "C on the host", ("scores", "outputs")),
        "C on an emulated Cortex-M4": ("NumPy twin", "C on nucleo_l4r5zi", ("scores", "outputs")),
        "TFLM": ("NumPy twin", "TFLM", ("scores",)),
        "TFLM, file exported again": ("TFLM, the original file", "TFLM, exported by edgeff", ("scores",)),
        "LiteRT reference, its rounding": ("NumPy twin with LiteRT's rounding", "LiteRT reference", ("scores",)),
        "LiteRT reference, ours": ("NumPy twin", "LiteRT reference", ("scores",)),
        "ONNX Runtime, layer by layer (at most 1)": ("NumPy twin", "ONNX Runtime", ("outputs",)),
    }
    lines = []
    for row in load("reference_models")["rows"]:
        model, numeric = row["key"]
        if numeric != "int8":
            continue
        comparisons = {
            shown: [c for c in row["comparisons"] if c["a"] == a and c["b"].startswith(b) and c["what"].startswith(whats)]
            for shown, (a, b, whats) in columns.items()
        }
        each = sum(c["elements"] for c in comparisons["C on the host"]) // row["samples"]
        emulated = sum(c["elements"] for c in comparisons["C on an emulated Cortex-M4"]) // each
        cells = [f"{sum(c['differing'] for c in some):,} of {sum(c['elements'] for c in some):,}" for some in comparisons.values()]
        cells[1] += f" ({emulated:,} inputs)"
        lines.append([TINY[model.split("_", maxsplit=1)[0]], f"{row['samples']:,}", *cells])
    return table(["int8, differing values", "inputs", *columns], lines)


def trained() -> str:
    rows = {tuple(row["key"]): row for row in load("trained")["rows"]}
    names = {
        "fsdd": "spoken digits (FSDD), official takes: accuracy %",
        "bearings": "bearings (CWRU), normal or faulty: AUC, 100 = perfect",
        "bearings_10": "bearings (CWRU), normal or which fault: accuracy %",
    }
    lines = []
    for task, network in dict.fromkeys((key[0], key[1]) for key in rows):
        plain, shuffled, frozen = (rows[task, network, control] for control in ("", "shuffled labels", "frozen hidden layers"))
        shown, seeds, above = cells(by_seed(plain["test"]), by_seed(frozen["test"]))
        ends = [spread(row) for row in (shuffled, frozen)]
        name = marked(names[task], (plain, shuffled, frozen))
        lines.append([name, network, str(plain["epochs"]), shown, seeds, f"{plain['int8_mean']:.1f}", *ends, above])
    heads = [
        "trained from scratch",
        "network",
        "epochs",
        "float32",
        "seeds",
        "int8",
        "shuffled labels",
        "frozen hidden layers",
        "above frozen (95 %)",
    ]
    return with_note(table(heads, lines, 2))


def host_training() -> str:
    lines = [
        [
            marked(str(row["key"][0]), [row]),
            f"{row['test_edgeff']:.1f}",
            f"{row['test_tensorflow']:.1f}",
            f"{row['ratio']:.2f}",
            f"{row['ratios'][0]:.2f} to {row['ratios'][-1]:.2f}",
        ]
        for row in load("host_training")["rows"]
    ]
    first = load("host_training")["rows"][0]
    what = f"ResNet-8, {first['images']:,} images, {first['epochs']} epochs: seed"
    return with_note(
        table([what, "edgeff, test %", "TensorFlow, test %", "time of edgeff / TensorFlow, median epoch", "epochs between"], lines)
    )


def conv_learning() -> str:
    rows = [row for row in load("conv_learning")["rows"] if row["key"][2] != "nearest"]
    lines = []
    for numeric in ("float32", "int8"):
        learned = [row for row in rows if row["key"][1] == numeric]
        (control,) = (by_seed(row["test"]) for row in learned if row["key"][0] == "frozen")
        for row in sorted(learned, key=lambda row: (row["key"][0] != "frozen", -row["mean"])):
            rule, _, rounding, _ = row["key"]
            name = "**frozen filters** (control)" if rule == "frozen" else NAMES.get(rule, rule)
            name += ", weights of 16 bits" if rounding.endswith("16 bits") else ""
            lines.append([numeric, marked(name, [row]), *cells(by_seed(row["test"]), control if rule != "frozen" else None)])
    return with_note(table(["conv 8 - conv 16 - dense 10, by the C", "rule", *HEADS], lines, 2))


def mutants() -> str:
    rows = load("mutants").get("rows", [])
    named = [row for row in rows if row["mutant"] in NAMED]
    drawn = [row for row in rows if row["mutant"] not in NAMED]

    def caught(some: Sequence[dict[str, Any]]) -> str:
        return f"{sum(row['fate'] == 'caught' for row in some)} of {len(some)}"

    lines = [
        "| mutants | caught |",
        "|---|---:|",
        f"| named faults | {caught(named)} |",
        f"| drawn, seed 0, of the first 100 | {caught(drawn)} |",
    ]
    rooms = sorted({room_of(row["file"]) for row in drawn})
    lines += [f"| - in `{room}` | {caught([row for row in drawn if room_of(row['file']) == room])} |" for room in rooms]
    left = [row for row in drawn if row["fate"] != "caught"]
    tested = [row for row in left if row.get("again", {}).get("fate") == "caught"]
    argued = [row for row in left if ANSWERS.get(row["mutant"], "").startswith("argued")]
    lines += [
        f"| caught by tests added since then, or by tests outside of the room | {len(tested)} of {len(left)} |",
        f"| argued: no figure and no promise depends on it | {len(argued)} of {len(left)} |",
        "",
        "| not caught in the first run | since then |",
        "|---|---|",
    ]
    for row in left:
        by = row.get("again", {}).get("by", "").partition("[")[0]
        lines.append(f"| `{row['mutant']}` | {f'caught by {by}' if by else ANSWERS.get(row['mutant'], '-')} |")
    return "\n".join(lines)


SECTIONS: dict[str, Callable[[], str]] = {
    "accuracy": accuracy,
    "device_learning": device_learning,
    "speed": speed,
    "speed_forms": speed_forms,
    "memory": memory,
    "demo": demo,
} | {
    "mlperf_arena": mlperf_arena,
    "mlperf_latency": mlperf_latency,
    "mlperf_instructions": mlperf_instructions,
    "mlperf_boards": mlperf_boards,
    "reference": reference,
    "trained": trained,
    "host_training": host_training,
    "conv_learning": conv_learning,
    "mutants": mutants,
    **tables_rules.SECTIONS,
    **tables_graphs.SECTIONS,
    **tables_kernels.SECTIONS,
    **tables_conformance.SECTIONS,
    **tables_convolutions.SECTIONS,
    **tables_cores.SECTIONS,
    **tables_engines.SECTIONS,
    **tables_founding.SECTIONS,
    **tables_memory.SECTIONS,
    **tables_packages.SECTIONS,
    **tables_public.SECTIONS,
    **tables_serial.SECTIONS,
    **tables_service.SECTIONS,
    **tables_scenarios.SECTIONS,
    **tables_tournament.SECTIONS,
}


def _filled(make: Callable[[], str], section: re.Match[str]) -> str:
    return section[1] + make() + "\n" + section[2]


def written(text: str) -> str:
    """A page's text with every section between ``<!-- begin:NAME -->`` and ``<!-- end:NAME -->`` made anew."""
    for name, make in SECTIONS.items():
        text = re.sub(rf"(<!-- begin:{name} -->\n).*?(<!-- end:{name} -->)", partial(_filled, make), text, flags=re.DOTALL)
    return claims.filled(text)


if __name__ == "__main__":
    pages = {page: written(page.read_text(encoding="utf-8")) for page in PAGES}
    drawn = {"accuracy_ram.svg": tables_picture.picture(), "accuracy_ram_blocks.svg": tables_picture.blocks_picture()}
    drawn |= tables_tournament_picture.pictures()
    pages |= {PICTURES / name: picture for name, picture in drawn.items()}
    for page, after in pages.items():
        before = page.read_text(encoding="utf-8") if page.exists() else ""
        if "--check" in sys.argv and before != after:
            sys.exit(f"{page.relative_to(ROOT)} is not what benchmarks/tables.py writes: run it")
        page.write_text(after, encoding="utf-8")
    if "--check" in sys.argv and (wrong := claims.check()):
        sys.exit("\n".join(wrong))
