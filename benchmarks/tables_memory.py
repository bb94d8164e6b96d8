"""The table of what learning costs on the networks of MLPerf Tiny, for docs/results/memory.md."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from results import load
from tables_rules import table

from edgeff.networks import initialised, structure
from edgeff.ops.canonical import canonical
from edgeff.studies.analytic.deviations import BENCHMARKS, analyse

SHOWN = {
    "bp": "BP",
    "bp, computed again": "BP, activations computed again",
    "fa": "FA",
    "dfa": "DFA",
    "pepita": "PEPITA",
    "mempepita": "MEMPEPITA",
    "ff": "FF",
    "cwc": "CwC",
    "local_heads": "local heads",
    "mono_forward": "Mono-Forward, all blocks",
    "blocks": "**Mono-Forward, one block at a time**",
    "zeroth_order": "zeroth order, one direction",
    "last layer": "last layer alone",
}
ANALYTIC = ("bp", "ff", "pepita", "mempepita")
"""Rules of the published sheet."""
M4, M0 = "mps2_an386", "rpi_pico"


def networks(name: str) -> str:
    """One network: a line a rule."""
    rows = {tuple(row["key"][1:]): row for row in load("memory_networks").get("rows", []) if row["key"][0] == name}
    if not rows:
        return "Not measured yet."
    sheet = analyse(canonical(initialised(structure(name), 0)), benchmark=BENCHMARKS.get(name)).rules
    lines = []
    for way, shown in SHOWN.items():
        whole, narrow, small = (rows.get((way, numeric, board), {}) for numeric, board in (("float32", M4), ("int8", M4), ("int8", M0)))
        published = f"{sheet[way].ram_bytes:,}" if way in ANALYTIC else "-"
        cells = [
            ram(whole),
            ram(narrow),
            published,
            flash(narrow),
            millions(narrow, "macs") if narrow.get("learn_macs") else millions(whole, "macs"),
        ]
        lines.append([shown, *cells, millions(whole), millions(narrow), ram(small), millions(small)])
    heads = ["rule", "float32: RAM", "int8: RAM", "Pau & Aymone", "int8: flash", "MMAC a step", "float32: M instr."]
    return table([*heads, "int8: M instr.", "Cortex-M0+: RAM", "Cortex-M0+: M instr."], lines)


def ram(row: dict[str, Any]) -> str:
    """Static RAM and stack, in bytes."""
    return f"{row['static_ram'] + row['stack']:,}" if "static_ram" in row else "-"


def flash(row: dict[str, Any]) -> str:
    """Flash in bytes."""
    return f"{row['flash']:,}" if "flash" in row else "-"


def millions(row: dict[str, Any], what: str = "instructions") -> str:
    """Instructions or MACs of a step, in millions."""
    return f"{row[f'learn_{what}'] / 1e6:.1f}" if f"learn_{what}" in row else "-"


def refusals() -> str:
    """Why a rule has no figures on a network, once each."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in load("memory_networks").get("rows", []):
        if "refused" in row:
            name, way, numeric, board = row["key"]
            small = f"on {board}: got" in row["refused"]
            reason = f"does not fit the RAM of {board} (Cortex-M0+)" if small else row["refused"]
            found.setdefault(reason, {}).setdefault(f"{way} on {name}", []).append(numeric + (", Cortex-M0+" if board == M0 else ""))
    return "\n".join(f"- {', '.join(where)}: {reason}." for reason, where in found.items()) or "None."


NETWORKS = ("ds_cnn", "resnet8", "mobilenet_v1_025", "fc_ae")
SECTIONS: dict[str, Callable[[], str]] = {f"memory_{name}": partial(networks, name) for name in NETWORKS} | {"memory_refused": refusals}
