"""The small hand-written model that the tests of firmware build, and the boards and toolchains they build it for."""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from _pytest.mark import ParameterSet
from numpy.typing import NDArray

from edgeff.device.boards import load_board
from edgeff.device.firmware import Firmware, build
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.ir import Board, Call, Region

TINY = Path(__file__).parent / "data" / "tiny_model"
BOARDS = ("nucleo_l4r5zi", "rpi_pico")
INFER = tuple(
    Call(kernel, (), (), {}, layer) for kernel, layer in (("dense_f32", "hidden"), ("dense_f32", "scores"), ("argmax_f32", "best"))
)
LEARN = tuple(
    Call(kernel, (), (), {}, layer, stage)
    for kernel, layer, stage in (
        ("dense_f32", "hidden", "forward"),
        ("dense_f32", "scores", "forward"),
        ("error_f32", "scores", "feedback"),
        ("back_f32", "hidden", "feedback"),
        ("update_f32", "scores", "update"),
        ("update_f32", "hidden", "update"),
    )
)

_FOLDER = tempfile.TemporaryDirectory(prefix="edgeff-tests-")


def toolchain_case(name: str, *before: str) -> ParameterSet:
    """A toolchain as the last parameter of a test; the test of one that is not installed is skipped, naming it."""
    tool = TOOLCHAINS[name]
    return pytest.param(*before, name, marks=pytest.mark.skipif(not tool.available(), reason=f"{name} is not installed: {tool.how_to_get}"))


# Every toolchain for a Cortex-M, by name.
EACH_TOOLCHAIN = [toolchain_case(name) for name in ("zig", "gcc")]
EACH_BUILD = [toolchain_case(name, board) for board in BOARDS for name in ("zig", "gcc")]


def inputs(count: int) -> NDArray[np.float32]:
    """``count`` seeded inputs of the small model, (count, 4)."""
    return np.random.default_rng(7).normal(size=(count, 4)).astype(np.float32)


def build_tiny(board: Board | str, toolchain: str, out: Path, edits: dict[str, tuple[str, str]] | None = None) -> Firmware:
    """The firmware of the small model; ``edits`` maps a file's name to (pattern, replacement)."""
    source = TINY
    if edits:
        source = out / "source"
        shutil.copytree(TINY, source)
        for name, (pattern, replacement) in edits.items():
            text = (source / name).read_text(encoding="utf-8")
            changed = re.sub(pattern, replacement, text)
            assert changed != text
            (source / name).write_text(changed, encoding="utf-8")
    return build(source, load_board(board) if isinstance(board, str) else board, out / "project", TOOLCHAINS[toolchain])


@functools.cache
def built(board: str, toolchain: str) -> Firmware:
    """The small model's firmware as it stands, built once a process."""
    return build_tiny(board, toolchain, Path(_FOLDER.name) / f"{board}_{toolchain}")


def with_memory(board: Board, flash_bytes: int, ram_bytes: int) -> Board:
    """``board`` with its first flash and its first RAM cut to a length."""
    lengths = {"flash": flash_bytes, "ram": ram_bytes}
    regions = tuple(Region(r.name, r.kind, r.origin, lengths[r.kind]) for r in board.regions)
    values = {name: getattr(board, name) for name in Board.__dataclass_fields__}
    return Board(**{**values, "regions": regions})
