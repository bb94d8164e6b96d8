"""The C on machines that differ: an `int` of 16 bits, flags and arithmetic that would change results, numbers that no integer can take."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from kernel_sources import model_sources, write_kernels
from narrow_ints import overflows, syntax_tree
from small_networks import EVERY_PROGRAM, deployed, small

from edgeff.codegen.folder import RUNTIME_FOLDER, write_c
from edgeff.device.toolchains.host import host_compiler
from edgeff.ir import Numeric
from edgeff.kernels.arithmetic import exp_f32
from edgeff.program.interpreter import Interpreter

_FOLDER = TemporaryDirectory(prefix="edgeff-tests-kernels-")
FOLDER = Path(_FOLDER.name) / "kernels"
SOURCES = tuple(FOLDER / name for name in write_kernels(FOLDER))
HEADERS = tuple(sorted(FOLDER.glob("*.h")))
AVR = ["avr-gcc", "-mmcu=atmega2560", "-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{FOLDER}"]
SERIAL = Path(__file__).with_name("avr_serial.c")
RAM_TOO_SMALL = [("tdca", "float32")]
"""The programs that the 8 KB of an ATmega2560, where constants take RAM too, do not hold."""


def name(path: Path) -> str:
    return path.name


def needs(*tools: str) -> pytest.MarkDecorator:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed: apt-get install gcc-avr avr-libc simavr")


def run(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout + done.stderr


@cache
def avr_kernels() -> tuple[Path, ...]:
    """Every kernel compiled for AVR, once."""
    objects = tuple(source.with_suffix(".o") for source in SOURCES)
    for source, target in zip(SOURCES, objects, strict=True):
        run(*AVR, "-ffunction-sections", "-c", source, "-o", target)
    return objects


@pytest.mark.parametrize("source", [*SOURCES, *sorted(RUNTIME_FOLDER.glob("*.c"))], ids=name)
def test_no_int_of_16_bits_overflows(source: Path) -> None:
    assert not list(overflows(syntax_tree(source, FOLDER)))


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("1 << 30", "INT32_C(1) << 30"),
        ("h[0] + h[1] + 1", "(int32_t)h[0] + h[1] + 1"),
        ("h[0] * b[0]", "h[0] * (int32_t)b[0]"),
        ("(b[0] + 128) * 256", "(b[0] + 128) * INT32_C(256)"),
        ("-h[0]", "-(int32_t)h[0]"),
        ("b[0] * b[1] * b[2]", "b[0] * b[1] * (int32_t)b[2]"),
        ("(x ? 1 : 2) << 15", "(x ? 1 : 2) << INT32_C(2)"),
    ],
)
def test_the_check_of_narrow_ints_finds_what_overflows(narrow: str, wide: str, tmp_path: Path) -> None:
    source = tmp_path / "x.c"
    for expression, count in ((narrow, 1), (wide, 0)):
        function = "int32_t f(const int16_t *h, const int8_t *b, int32_t x)"
        source.write_text(f"#include <stdint.h>\n{function}\n{{\n    return {expression};\n}}\n", encoding="utf-8")
        assert len(list(overflows(syntax_tree(source)))) == count


@pytest.mark.slow
@needs("avr-gcc", "simavr")
@pytest.mark.parametrize(("rule", "numeric"), [program for program in EVERY_PROGRAM if program not in RAM_TOO_SMALL])
def test_an_8_bit_avr_predicts_and_learns_to_the_bit(rule: str | None, numeric: Numeric, tmp_path: Path) -> None:
    write_c(deployed(rule, numeric, small(bias=rule != "ff")).program, tmp_path)
    sources = (*model_sources(tmp_path), tmp_path / "example" / "main.c", SERIAL)
    run(*AVR, f"-I{tmp_path}", *sources, *avr_kernels(), "-Wl,--gc-sections", "-o", tmp_path / "a.elf")
    assert "ok: every bit as in the reference" in run("simavr", "-m", "atmega2560", "-f", "16000000", tmp_path / "a.elf")


@pytest.mark.parametrize("flag", ["-ffast-math", "-Ofast", "-ffinite-math-only", "-mfpmath=387"])
def test_flags_that_change_bits_are_refused(flag: str, tmp_path: Path) -> None:
    command = [*host_compiler(), "-std=c99", flag, f"-I{FOLDER}", "-c", str(SOURCES[0]), "-o", str(tmp_path / "x.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "unrecognized" in done.stderr or "unknown" in done.stderr or "unsupported" in done.stderr:
        pytest.skip(f"{command[0]} has no {flag}")
    assert done.returncode != 0
    assert "#error" in done.stderr or " error: " in done.stderr
    assert "-ffast-math" in done.stderr if "math" in flag.replace("-mfpmath", "") or flag == "-Ofast" else "-mfpmath=sse" in done.stderr


@pytest.mark.parametrize("path", [*SOURCES, *HEADERS], ids=name)
def test_every_kernel_says_its_licence(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("/* SPDX-License-Identifier: Apache-2.0 */\n")


def test_cpp_includes_the_header_of_the_kernels(tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler is installed: apt-get install g++")
    (tmp_path / "x.cpp").write_text('#include "edgeff.h"\n', encoding="utf-8")
    run(compiler, "-std=c++11", "-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{FOLDER}", "-c", tmp_path / "x.cpp", "-o", tmp_path / "x.o")


@pytest.fixture(scope="module")
def mathematics(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """exp and the square root of the kernels as a library."""
    folder = tmp_path_factory.mktemp("mathematics")
    source = folder / "root.c"
    source.write_text('#include "edgeff.h"\nfloat root(float x);\nfloat root(float x) { return eff_sqrt_f32(x); }\n', encoding="utf-8")
    run(*host_compiler(), "-std=c99", "-O2", "-fPIC", "-shared", f"-I{FOLDER}", source, FOLDER / "eff_softmax.c", "-o", folder / "root.so")
    library = ctypes.CDLL(str(folder / "root.so"))
    for function in (library.root, library.eff_exp_f32):
        function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    return library


def patterns() -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32 numbers of every kind: each exponent and sign with the least, the largest and a seeded mantissa."""
    high = np.arange(512, dtype=np.uint32) << np.uint32(23)
    drawn = np.random.default_rng(0).integers(0, 2**23, 512, dtype=np.uint32)
    return np.concatenate([high, high | np.uint32(1), high | np.uint32(2**23 - 1), high | drawn]).view(np.float32)


def test_the_square_root_is_right_for_every_kind_of_number(mathematics: Any) -> None:
    for x in patterns():
        with np.errstate(invalid="ignore"):
            expected = np.float32(0.0) if 0 < x < np.float32(2.0**-126) else np.sqrt(x)
        np.testing.assert_equal(np.float32(mathematics.root(float(x))), expected, err_msg=x.tobytes().hex())


def test_exp_is_that_of_the_twin_for_every_kind_of_number(mathematics: Any) -> None:
    for x in patterns():
        np.testing.assert_equal(np.float32(mathematics.eff_exp_f32(float(x))), exp_f32(x), err_msg=x.tobytes().hex())


CASTS = ["-std=c99", "-O1", "-fsanitize=undefined,float-cast-overflow", "-fno-sanitize-recover=all"]


@cache
def kernels_that_check_casts() -> list[Path]:
    """Every kernel with a check of each cast, built once; none where the host's compiler has no such check."""
    folder = Path(_FOLDER.name) / "casts"
    folder.mkdir()
    trial = subprocess.run(
        [*host_compiler(), *CASTS, "-xc", "-", "-o", folder / "x"], input="int main(void) { return 0; }", text=True, check=False
    )
    if trial.returncode == 0:
        subprocess.run([*host_compiler(), *CASTS, f"-I{FOLDER}", "-c", *SOURCES], cwd=folder, check=True, timeout=300)
    return sorted(folder.glob("*.o"))


@pytest.mark.slow
@pytest.mark.parametrize("rule", [rule for rule, numeric in EVERY_PROGRAM if numeric == "float32"])
def test_no_number_that_an_input_can_hold_is_cast_to_an_integer_it_does_not_fit(rule: str | None, tmp_path: Path) -> None:
    program = deployed(rule, "float32").program
    inputs = program.tensors[program.input].elements
    rows = ["NAN", "INFINITY", "-INFINITY", "3e38f", "-3e38f", "i % 2 ? NAN : 1.0f", "i % 2 ? INFINITY : -INFINITY", "1e-45f"]
    write_c(program, tmp_path)
    (tmp_path / "app.c").write_text(
        '#include <math.h>\n#include <stdio.h>\n#include "model.h"\nint main(void)\n{\n    eff_init();\n'
        + "".join(
            f'    for (int i = 0; i < EFF_INPUTS; ++i) {{ eff_input()[i] = {row}; }}\n    printf("%d\\n", (int)eff_predict());\n'
            for row in rows
        )
        + "    return 0;\n}\n",
        encoding="utf-8",
    )
    if not kernels_that_check_casts():
        pytest.skip(f"{host_compiler()[0]} has no UBSan")
    own = (*model_sources(tmp_path), tmp_path / "app.c")
    run(*host_compiler(), *CASTS, f"-I{tmp_path}", *own, *kernels_that_check_casts(), "-o", tmp_path / "a.out")
    printed = run(tmp_path / "a.out").split()
    twin = Interpreter(program)
    with np.errstate(all="ignore"):
        values = [
            np.nan,
            np.inf,
            -np.inf,
            3e38,
            -3e38,
            np.where(np.arange(inputs) % 2, np.nan, 1.0),
            np.where(np.arange(inputs) % 2, np.inf, -np.inf),
            1e-45,
        ]
        expected = [twin.predict(np.full(inputs, value, np.float32)) for value in values]
    assert printed == [str(best) for best in expected]
