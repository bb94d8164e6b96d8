"""The C in other people's builds: C++ calls it, several models share one image, the arena goes where it is told, no names clash."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_networks import deployed, samples, small

from edgeff.codegen.folder import write_c
from edgeff.codegen.names import check_prefix, names_in
from edgeff.device.targets.host import HostTarget
from edgeff.device.toolchains.host import host_compiler
from edgeff.device.toolchains.objects import CACHE
from edgeff.errors import BadInput
from edgeff.ir import Numeric

STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"


def cxx() -> list[str]:
    """The host's C++ compiler."""
    for name in ("g++", "clang++"):
        if program := shutil.which(name):
            return [program]
    pytest.skip("no C++ compiler is installed: apt-get install g++")


def run(*command: str | Path) -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def objects(folder: Path, *options: str) -> list[Path]:
    """Every C file of ``folder`` compiled for the host."""
    sources = sorted(folder.glob("*.c"))
    with CACHE.objects([*host_compiler(), "-std=c99", "-O1", *STRICT, *options], sources, folder) as made:
        return [shutil.copyfile(path, folder / f"{source.stem}.o") for source, path in zip(sources, made, strict=True)]


@pytest.mark.parametrize("standard", ["c++11", "c++14", "c++17", "c++20"])
@pytest.mark.parametrize(("rule", "numeric"), [("pepita", "int8"), ("bp", "float32"), (None, "int16")])
def test_cpp_includes_the_header_and_calls_every_function(rule: str | None, numeric: Numeric, standard: str, tmp_path: Path) -> None:
    write_c(deployed(rule, numeric).program, tmp_path)
    learning = (
        """for (int i = 0; i < EFF_INPUTS; ++i) { eff_input()[i] = eff_input_t(i); }
    ok = ok && eff_learn(3) == EFF_OK;
    static uint8_t buffer[EFF_SAVE_BYTES];
    ok = ok && eff_save_buffer(buffer, sizeof buffer) == sizeof buffer && eff_restore_buffer(buffer, sizeof buffer) == EFF_STATE_OK;
    ok = ok && eff_save(write, nullptr) == EFF_STATE_OK && eff_restore(read, nullptr) == EFF_STATE_TRUNCATED;
    static const uint32_t places[] = {0, 4096};
    const eff_slots slots = {read, write, erase, nullptr, places, 2, 4096};
    ok = ok && eff_slots_save(&eff_learned, &slots) == EFF_STATE_TRUNCATED;
    ok = ok && eff_slots_restore(&eff_learned, &slots) == EFF_STATE_TRUNCATED;
    """
        if rule
        else ""
    )
    callbacks = (
        """static size_t write(void *, uint32_t, const void *, size_t length) { return length; }
static size_t read(void *, uint32_t, void *, size_t) { return 0; }
static size_t erase(void *, uint32_t, size_t length) { return length; }
"""
        if rule
        else ""
    )
    quantised = "" if numeric == "float32" else "ok = ok && EFF_INPUT_SCALE > 0 && EFF_OUTPUT_SCALE > 0;"
    (tmp_path / "main.cpp").write_text(
        f"""#include "model.h"
{callbacks}int main()
{{
    eff_init();
    for (int i = 0; i < EFF_INPUTS; ++i) {{ eff_input()[i] = eff_input_t(i); }}
    const int32_t best = eff_predict();
    bool ok = best >= 0 && best < EFF_CLASSES && eff_output()[best] >= eff_output()[0];
    {quantised}
    {learning}
    return ok && sizeof eff_arena == EFF_ARENA_BYTES ? 0 : 1;
}}
""",
        encoding="utf-8",
    )
    run(*cxx(), f"-std={standard}", *STRICT, f"-I{tmp_path}", tmp_path / "main.cpp", *objects(tmp_path), "-o", tmp_path / "a.out")
    run(tmp_path / "a.out")


@pytest.mark.slow
def test_three_models_of_several_numerics_run_in_one_image_with_shared_kernels(tmp_path: Path) -> None:
    models = {
        "wake_": deployed("pepita", "int8"),
        "gesture_": deployed(None, "float32", small("12-5-3")),
        "eff_": deployed("bp", "int8", small("12-6-4", bias=True)),
    }
    calls = []
    for prefix, deployment in models.items():
        x = deployment.inputs(samples(1))
        write_c(deployment.program, tmp_path, samples=x, labels=np.array([1]), prefix=prefix)
        expected = HostTarget(deployment.program).predict(x[0])
        values = ", ".join(map(str, x[0]))
        calls.append(
            f"    {{ const {prefix}input_t x[] = {{{values}}}; {prefix}init(); for (int i = 0; i < 12; ++i) {prefix}input()[i] = x[i];"
        )
        calls.append(f"      wrong += {prefix}predict() != {expected}; }}")
    includes = "".join(f'#include "{"" if prefix == "eff_" else prefix}model.h"\n' for prefix in models)
    (tmp_path / "app").mkdir()
    body = "\n".join(calls)
    app = tmp_path / "app" / "main.c"
    app.write_text(f"{includes}int main(void)\n{{\n    int wrong = 0;\n{body}\n    return wrong;\n}}\n", encoding="utf-8")
    run(*host_compiler(), "-std=c99", f"-I{tmp_path}", app, *objects(tmp_path), "-o", tmp_path / "a.out")
    run(tmp_path / "a.out")
    for prefix in ("wake_", "gesture_", ""):
        sources = sorted(tmp_path.glob("*.c"))
        run(*host_compiler(), "-std=c99", f"-I{tmp_path}", *sources, tmp_path / "example" / f"{prefix}main.c", "-o", tmp_path / "b.out")
        assert run(tmp_path / "b.out").splitlines()[-1] == "ok: every bit as in the reference"


@pytest.mark.parametrize(("rule", "numeric"), [("pepita", "int8"), (None, "float32")])
def test_a_prefix_stands_before_every_name_of_the_model(rule: str | None, numeric: Numeric, tmp_path: Path) -> None:
    write_c(deployed(rule, numeric).program, tmp_path, prefix="wake_")
    header = (tmp_path / "wake_model.h").read_text(encoding="utf-8")
    shared = {name for path in tmp_path.glob("eff_[sw]*.h") for name in names_in(path.read_text(encoding="utf-8"))}
    assert names_in(header) <= shared | {"eff_state", "eff_slots", "eff_watch"}
    assert {"wake_init", "wake_predict", "WAKE_INPUTS", "WAKE_ARENA_SECTION", "wake_input_t"} <= set(re.findall(r"\w+", header))
    (folder,) = {path.parent for path in objects(tmp_path)}
    symbols = run("nm", "-g", "--defined-only", folder / "wake_model.o")
    assert all(re.search(r" _?wake_\w+$", line) for line in symbols.splitlines())


def test_an_export_leaves_the_kernels_of_its_neighbours_and_takes_what_nobody_needs(tmp_path: Path) -> None:
    write_c(deployed("ff", "float32").program, tmp_path, prefix="a_")
    alone = {path.name for path in tmp_path.iterdir()}
    write_c(deployed(None, "int8").program, tmp_path, prefix="b_")
    assert {path.name for path in tmp_path.iterdir()} == alone | {"b_model.c", "b_model.h"}
    write_c(deployed(None, "int8").program, tmp_path, prefix="a_")
    assert {"eff_dense_x4.c", "eff_softmax.c"} <= {path.name for path in tmp_path.iterdir()} < alone | {"b_model.c", "b_model.h"}


def test_a_neighbour_with_kernels_of_another_version_is_refused(tmp_path: Path) -> None:
    write_c(deployed(None, "int8").program, tmp_path, prefix="a_")
    with (tmp_path / "eff_dense_x4.c").open("a", encoding="utf-8") as file:
        file.write("/* of another version */\n")
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.[ch]")}
    with pytest.raises(
        BadInput, match=r"a model beside this one with the eff_dense_x4.c of another version .* export all of them into a new folder"
    ):
        write_c(deployed(None, "int8").program, tmp_path, prefix="b_")
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.[ch]")} == before
    write_c(deployed(None, "int8").program, tmp_path, prefix="a_")


def test_prefixes_that_differ_in_capitals_alone_are_refused_beside_one_another(tmp_path: Path) -> None:
    write_c(deployed(None, "int8").program, tmp_path, prefix="wake_")
    with pytest.raises(BadInput, match=r"'Wake_' beside wake_model.h; allowed: prefixes that differ in more than capitals"):
        write_c(deployed(None, "int8").program, tmp_path, prefix="Wake_")


def test_a_header_of_the_users_own_is_refused_and_left_alone(tmp_path: Path) -> None:
    write_c(deployed(None, "int8").program, tmp_path)
    (tmp_path / "wake_model.h").write_text("int mine;\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"got other C files \('wake_model.h'\)"):
        write_c(deployed(None, "int8").program, tmp_path, prefix="wake_")
    assert (tmp_path / "wake_model.h").read_text(encoding="utf-8") == "int mine;\n"


@pytest.mark.parametrize("prefix", ["eff_", "wake_", "a", "Gesture2_", "a" * 31])
def test_a_prefix_that_c_can_take_is_taken(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize(("prefix", "macro"), [("eff_", "EFF_ARENA_SECTION"), ("wake_", "WAKE_ARENA_SECTION")])
def test_the_arena_goes_into_the_section_that_a_macro_names(prefix: str, macro: str, tmp_path: Path) -> None:
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("readelf is not installed: apt-get install binutils")
    write_c(deployed("pepita", "int8").program, tmp_path, prefix=prefix)
    stem = "" if prefix == "eff_" else prefix
    compiled = tmp_path / f"{stem}model.o"
    objects(tmp_path, f'-D{macro}=".bss.ccm"')
    section = next(line for line in run(readelf, "-SW", compiled).splitlines() if ".bss.ccm" in line)
    number = re.search(r"\[ *(\d+)\]", section)
    assert number
    assert "NOBITS" in section
    assert re.search(rf"OBJECT +GLOBAL +DEFAULT +{number.group(1)} {prefix}arena", run(readelf, "-sW", compiled))


@pytest.mark.parametrize("prefix", ["eff_", "wake_"])
def test_every_file_that_leaves_the_house_says_its_licence(prefix: str, tmp_path: Path) -> None:
    write_c(deployed("pepita", "int8").program, tmp_path, prefix=prefix)
    for path in tmp_path.rglob("*.[ch]"):
        if path.name.endswith(("model.c", "model.h", "main.c")):
            assert path.read_text(encoding="utf-8").startswith(SPDX), path
