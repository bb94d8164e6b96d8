"""Where C would compute beyond 16 bits in an ``int`` that has 16: an analysis of intervals over clang's syntax tree for AVR."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeff.device.toolchains.zig import executable

Range = tuple[int, int]
LOW, HIGH = -(2**15), 2**15 - 1
_LOADED = {"int8_t": (-128, 127), "uint8_t": (0, 255), "char": (-128, 127), "signed char": (-128, 127), "unsigned char": (0, 255)}
_COMPARISONS = {"<", ">", "<=", ">=", "==", "!=", "&&", "||"}


def syntax_tree(source: Path, *includes: Path) -> Any:
    """The syntax tree that clang builds of ``source`` for AVR. Raises CalledProcessError when it does not compile."""
    program = executable()
    assert program
    flags = [
        "-target",
        "avr",
        "-mmcu=atmega2560",
        "-std=c99",
        "-ffreestanding",
        "-nostdinc",
        "-isystem",
        str(program.parent / "lib/include"),
    ]
    command = [str(program), "clang", *flags, *(f"-I{folder}" for folder in includes), "-fsyntax-only", "-Xclang", "-ast-dump=json"]
    return json.loads(subprocess.run([*command, str(source)], capture_output=True, check=True, timeout=120).stdout)


def overflows(node: Any, line: int = 0) -> Iterator[str]:
    """A line for every expression of type ``int`` below ``node`` whose value can leave 16 bits, as far as the operands' types tell."""
    begin = node.get("range", {}).get("begin", {}) if isinstance(node, dict) else {}
    line = (begin.get("expansionLoc") or begin).get("line", line)
    if node.get("kind") in ("BinaryOperator", "UnaryOperator") and _is_int(node):
        low, high = _range(node)
        if low < LOW or high > HIGH:
            yield f"near line {line}: {node['opcode']} reaches {low} to {high}"
            return
    for inner in node.get("inner", ()):
        if isinstance(inner, dict):
            yield from overflows(inner, line)


def _is_int(node: Any) -> bool:
    kind = node.get("type", {})
    return kind.get("desugaredQualType", kind.get("qualType")) in ("int", "const int")


def _range(node: Any) -> Range:
    """Bounds of the value of an expression; those of its type where nothing more is known."""
    inner = [child for child in node.get("inner", ()) if isinstance(child, dict)]
    match node["kind"]:
        case "IntegerLiteral" | "CharacterLiteral":
            return int(node["value"]), int(node["value"])
        case "ParenExpr" | "ConstantExpr":
            return _range(inner[0])
        case "ImplicitCastExpr" if node.get("castKind") == "IntegralCast" and _is_int(node):
            return _of_type(inner[0])
        case "BinaryOperator" if node["opcode"] in _COMPARISONS:
            return 0, 1
        case "BinaryOperator" if node["opcode"] in ("+", "-", "*", "<<", "&"):
            return _binary(node["opcode"], _range(inner[0]), _range(inner[1]))
        case "UnaryOperator" if node["opcode"] == "-":
            low, high = _range(inner[0])
            return -high, -low
        case "UnaryOperator" if node["opcode"] == "!":
            return 0, 1
        case "ConditionalOperator":
            (a, b), (c, d) = _range(inner[1]), _range(inner[2])
            return min(a, c), max(b, d)
        case _:
            return _of_type(node)


def _of_type(node: Any) -> Range:
    kind = node.get("type", {})
    names = {str(kind.get(key, "")).removeprefix("const ") for key in ("qualType", "desugaredQualType")}
    return next((_LOADED[name] for name in names if name in _LOADED), (LOW, HIGH))


def _binary(opcode: str, left: Range, right: Range) -> Range:
    (a, b), (c, d) = left, right
    if opcode == "+":
        return a + c, b + d
    if opcode == "-":
        return a - d, b - c
    if opcode == "&":
        return (0, d) if c >= 0 else (0, b) if a >= 0 else (LOW, HIGH)
    if opcode == "<<":
        c, d = 2 ** max(c, 0), 2 ** min(max(d, 0), 64)
    products = (a * c, a * d, b * c, b * d)
    return min(products), max(products)
