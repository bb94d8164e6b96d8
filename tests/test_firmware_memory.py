"""The firmware's own memcpy, memmove and memset: every size and alignment, compiled here under other names."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeff.device.toolchains.host import host_shared_library

SOURCE = Path(__file__).parents[1] / "firmware_templates" / "bare_metal" / "memory.c"
NAMES = ("memcpy", "memmove", "memset")
SIZES, OFFSETS = range(20), range(5)
Function = Callable[..., int]


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Function]:
    folder = tmp_path_factory.mktemp("memory")
    host_shared_library([SOURCE], folder, folder / "memory.so", [f"{name}=eff_{name}" for name in NAMES])
    library = ctypes.CDLL(str(folder / "memory.so"))
    found: dict[str, Function] = {}
    for name in NAMES:
        found[name] = getattr(library, f"eff_{name}")
        found[name].restype = ctypes.c_void_p  # type: ignore[attr-defined]
    return found


def buffer() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """48 bytes that begin at a multiple of 8, no two of 40 alike."""
    return np.arange(6, dtype=np.uint64).view(np.uint8) + np.arange(48, dtype=np.uint8) * np.uint8(5)


def at(array: np.ndarray[tuple[int], np.dtype[np.uint8]], offset: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data + offset)


@pytest.mark.parametrize("name", ["memcpy", "memmove"])
def test_bytes_are_copied_and_no_others(functions: dict[str, Function], name: str) -> None:
    for size in SIZES:
        for source in OFFSETS:
            for target in OFFSETS:
                a, b = buffer(), 255 - buffer()
                expected = b.copy()
                expected[target : target + size] = a[source : source + size]
                assert functions[name](at(b, target), at(a, source), ctypes.c_size_t(size)) == at(b, target).value
                np.testing.assert_array_equal(b, expected)


def test_a_move_within_a_buffer_reads_before_it_writes(functions: dict[str, Function]) -> None:
    for size in SIZES:
        for source in range(12):
            for target in range(12):
                a = buffer()
                expected = a.copy()
                expected[target : target + size] = a[source : source + size].copy()
                functions["memmove"](at(a, target), at(a, source), ctypes.c_size_t(size))
                np.testing.assert_array_equal(a, expected)


@pytest.mark.parametrize("value", [0, 0xA5, 0x1FF])
def test_bytes_are_set_and_no_others(functions: dict[str, Function], value: int) -> None:
    for size in SIZES:
        for target in OFFSETS:
            a = buffer()
            expected = a.copy()
            expected[target : target + size] = value & 0xFF
            assert functions["memset"](at(a, target), ctypes.c_int(value), ctypes.c_size_t(size)) == at(a, target).value
            np.testing.assert_array_equal(a, expected)
