"""Traces for the tests of the report: made by hand, so that every figure that should appear is known."""

from __future__ import annotations

from dataclasses import replace

from edgeff.ir import CallCost, Cost, LineCost, Memory, Trace
from edgeff.networks import initialised, structure
from edgeff.program.deploy import deploy
from edgeff.program.memory_map import memory_map
from edgeff.program.plan import plan

VERSIONS = {"edgeff": "0.1.0", "unicorn": None}
EVIDENCE = "instructions exact (emulated), cycles modelled, validated +-20 %"
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\n\x1b[31m&amp;|`*_[link](http://example.invalid)"


def trace(rule: str = "pepita", numeric: str = "int8", *, after: float = 0.9125, seed: int = 0, ram_bytes: int = 2576) -> Trace:
    """A complete run of 64-32-10 on digits."""
    infer = (CallCost("dense_1", "eff_dense_i8", "forward", 2048, 13_425, 14_000), CallCost(rule, "eff_argmax_i8", "argmax", 0, 103, 110))
    learn = (
        CallCost("dense_1", "eff_dense_i8", "forward", 2048, 13_425, 14_000),
        CallCost(rule, "eff_error_i8", "error", 0, 199, 210),
        CallCost("dense_1", "eff_dense_update_i8", "update", 2048, 24_261, 25_000),
    )
    stays = (
        {
            "tensor": "dense_1.weight",
            "role": "variable",
            "layer": "dense_1",
            "line": "persistent",
            "offset": 0,
            "size_bytes": 2048,
            "first": 0,
            "last": 4,
        },
        {"tensor": "input", "role": "input", "layer": "", "line": "infer", "offset": 2048, "size_bytes": 64, "first": 0, "last": 0},
        {
            "tensor": "infer.dense_1",
            "role": "activation",
            "layer": "dense_1",
            "line": "infer",
            "offset": 2112,
            "size_bytes": 32,
            "first": 0,
            "last": 1,
        },
        {
            "tensor": "learn.dense_1",
            "role": "activation",
            "layer": "dense_1",
            "line": "learn",
            "offset": 2112,
            "size_bytes": 32,
            "first": 2,
            "last": 4,
        },
    )
    return Trace(
        task="digits",
        network="64-32-10",
        rule=rule,
        numeric=numeric,
        board="nucleo_l4r5zi",
        target="unicorn",
        seed=seed,
        accuracy={"float": 0.9611, "quantized": 0.9583, "before": 0.0528, "after": after},
        memory=Memory(8280, 2384, ram_bytes - 24, ram_bytes, 152),
        lines={
            "infer": LineCost(Cost(2048, 13_528, 14_110, 14_110 / 120e6, 5.12e-6, EVIDENCE), infer),
            "learn": LineCost(Cost(4096, 37_885, 39_210, 39_210 / 120e6, 14.2e-6, EVIDENCE), learn),
        },
        functions={"eff_dense_i8": 13_425, "eff_dense_update_i8": 24_261},
        curve=((0, 0.0528), (250, 0.6417), (1437, after)),
        memory_map=stays,
        artifacts={"firmware": {"path": "pepita/firmware.elf", "sha256": "0" * 64}},
    )


def several() -> list[Trace]:
    """Three rules and the control in two numerics, where pepita and mempepita coincide and ff stays below its control."""
    ends = {"bp": 0.9611, "pepita": 0.9125, "mempepita": 0.9125, "ff": 0.7, "frozen": 0.7556}
    sizes = {"bp": 2584, "pepita": 2576, "mempepita": 2576, "ff": 2312, "frozen": 456}
    return [
        trace(
            rule, numeric, after=end + (0.02 if numeric == "float32" else 0.0), ram_bytes=sizes[rule] * (4 if numeric == "float32" else 1)
        )
        for numeric in ("float32", "int8")
        for rule, end in ends.items()
    ]


def unknown() -> Trace:
    """A run of which nothing is known but its name."""
    return Trace("digits", "64-32-10", "bp", "float32", None, "host", 0)


def hostile() -> Trace:
    """A run whose every name attacks whatever shows it."""
    base = trace()
    return replace(
        base,
        task=HOSTILE,
        network=HOSTILE,
        rule=HOSTILE,
        numeric=HOSTILE,
        board=HOSTILE,
        target=HOSTILE,
        lines={
            "infer": LineCost(replace(base.infer, evidence=HOSTILE), (CallCost(HOSTILE, HOSTILE, HOSTILE, 1, 1, 1),)),
            "learn": LineCost(
                replace(base.learn, evidence=f"instructions {HOSTILE}, cycles modelled {HOSTILE}"),
                (CallCost(HOSTILE, HOSTILE, HOSTILE, 1, 1, 1), CallCost("2020-01-01", "%{y}", "$x$", 1, None, None)),
            ),
            HOSTILE: LineCost(Cost(1, evidence=HOSTILE), (CallCost(HOSTILE, HOSTILE, HOSTILE, 1, 1, 1),)),
        },
        functions={HOSTILE: 1},
        memory_map=tuple(dict(stay) | {"tensor": HOSTILE, "role": HOSTILE, "layer": HOSTILE} for stay in base.memory_map),
        artifacts={HOSTILE: {"path": HOSTILE, "sha256": "0" * 64}},
    )


def planned(rule: str) -> Trace:
    """A run whose memory map and arena are those of a real program."""
    program = deploy(initialised(structure("12-8-3"), 0), rule=rule).program
    memory = plan(program)
    base = trace(rule, "float32")
    return replace(
        base,
        memory=Memory(None, None, memory.arena_bytes, memory.arena_bytes + 24, 160),
        lines={
            line.name: LineCost(base.line(line.name).cost, tuple(CallCost(call.layer, call.kernel, call.stage, 0) for call in line.calls))
            for line in program.lines.values()
        },
        memory_map=memory_map(program, memory),
    )
