"""Packages for environments of firmware: complete, sound C and C++, the bits of the twin over a serial line; what is the user's stays."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from command_line import CommandLine
from serial_lines import answers
from small_networks import deployed, samples
from test_c_interface import STRICT, cxx, objects, run
from test_values_on_device import made

from edgeff.codegen.packages import load_package, write_package
from edgeff.device.boards import load_boards
from edgeff.device.builds import board_builds
from edgeff.device.toolchains.host import host_compiler
from edgeff.errors import Unsupported
from edgeff.ir import Layer, Network
from edgeff.ops.add import Add
from edgeff.ops.input import Input
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.resources import package_names

ENVIRONMENTS = Path(__file__).parent / "environments"
DEPLOYMENTS = {
    "int8": lambda: deployed("pepita", "int8"),
    "float32": lambda: deployed("bp", "float32"),
    "inference": lambda: deployed(None, "int16"),
    "values": lambda: made("int8"),
}


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """``benchmarks/packages.py``, which runs the commands of READMEs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
        yield importlib.import_module("packages")


def needs(*tools: str) -> pytest.MarkDecorator:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed; .ci/run says which package has it")


def written(kind: str, deployment: Deployment, folder: Path, prefix: str = "eff_") -> Path:
    boards = board_builds()
    write_package(load_package(kind), deployment.program, folder, "Learner", prefix=prefix, command="edgeff export", boards=boards)
    return folder


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
@pytest.mark.parametrize("kind", package_names())
def test_the_example_compiles_without_a_warning(kind: str, deployment: str, tmp_path: Path) -> None:
    """Against thin declarations of the environment where that is not installed."""
    folder = written(kind, DEPLOYMENTS[deployment](), tmp_path, prefix="wake_")
    package = load_package(kind)
    (program,) = [path for path in (folder / package.stream).parent.iterdir() if path.suffix in (".c", ".cpp", ".ino")]
    include = [f"-I{ENVIRONMENTS}", f"-I{folder / package.sources}"]
    if program.suffix == ".c":
        run(*host_compiler(), "-std=c99", *STRICT, *include, "-c", program, "-o", os.devnull)
    else:
        run(*cxx(), "-x", "c++", "-std=c++11", *STRICT, *include, "-c", program, "-o", os.devnull)
    if deployment in ("int8", "inference"):
        (program,) = [path for path in (folder / package.protocol).iterdir() if path.suffix in (".cpp", ".ino") or path.name == "main.c"]
        run(*host_compiler(), "-std=c99", *STRICT, *include, "-c", folder / package.protocol / "protocol.c", "-o", os.devnull)
        language = ("-std=c99",) if program.suffix == ".c" else ("-x", "c++", "-std=c++11")
        run(*(host_compiler() if program.suffix == ".c" else cxx()), *language, *STRICT, *include, "-c", program, "-o", os.devnull)
    assert (folder / package.check / "wake_main.c").is_file()
    for path in folder.rglob("*"):
        assert not path.is_file() or not re.search(r"\{\{|\{%", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("kind", package_names())
def test_a_readme_has_five_lines_and_commands_that_build(kind: str, benchmark: ModuleType, tmp_path: Path) -> None:
    readme = (written(kind, DEPLOYMENTS["int8"](), tmp_path) / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 6  # a title and five
    assert benchmark.commands(kind, readme)
    label = {"cmake": r"exporter\.$", "arduino": r"on no board\.$", "platformio": r"on no board\.$"}
    assert re.search(label.get(kind, r"compiled against thin declarations of \S+ alone: not by \S+, not on a board"), readme.strip())


def test_a_cmake_package_has_a_toolchain_file_for_every_board(tmp_path: Path) -> None:
    folder = written("cmake", DEPLOYMENTS["int8"](), tmp_path) / "boards"
    assert {path.stem for path in folder.iterdir()} == set(load_boards())
    text = (folder / "esp32_c3.cmake").read_text(encoding="utf-8")
    assert "set(CMAKE_C_COMPILER riscv64-unknown-elf-gcc)" in text
    assert '"-march=rv32imc -mabi=ilp32 ' in text


def test_a_board_of_the_user_s_has_a_toolchain_file_too(cli: CommandLine, models: Path, tmp_path: Path) -> None:
    board = tmp_path / "acme.toml"
    cli.ok("board", "new", "acme", "--like", "nrf5340_dk", "-o", tmp_path)
    cli.ok("export", models / "float.onnx", "--to", "cmake", "--with-training", "--board", board, "-o", tmp_path / "learner")
    assert "-mcpu=cortex-m33" in (tmp_path / "learner" / "boards" / "acme.cmake").read_text(encoding="utf-8")


@pytest.mark.slow
@needs("cmake", "arm-none-eabi-gcc", "riscv64-unknown-elf-gcc")
def test_a_cmake_package_is_built_by_its_readme_for_this_computer_and_for_boards(benchmark: ModuleType, tmp_path: Path) -> None:
    out = benchmark.exported("cmake", tmp_path)
    boards = [build for build in board_builds() if build.name in {"nucleo_l4r5zi", "esp32_c3"}]
    row = benchmark.cmake(benchmark.commands("cmake", (out / "README.md").read_text(encoding="utf-8")), out, boards)
    assert (row["built"], row["ran"]) == (3, "build/check: ok: every bit as in the reference")


@pytest.mark.slow
@needs("arduino-builder", "avr-gcc")
def test_an_arduino_library_learns_on_an_emulated_mega_to_the_bit(benchmark: ModuleType) -> None:
    assert benchmark.package("arduino")["ran"].endswith("state as the twin's")


@pytest.mark.slow
@needs("cmake", "arm-none-eabi-g++", "qemu-system-arm")
def test_two_models_share_one_image_with_an_application_in_cpp(benchmark: ModuleType) -> None:
    assert benchmark.image("mps2_an386")["models"] == 2


@pytest.mark.parametrize("deployment", ["int8", "float32", "values"])
def test_a_stream_is_learned_to_the_bit_of_the_twin(deployment: str, tmp_path: Path) -> None:
    """Readings and commands go in as lines; the classes, or the value, come back as the twin has them."""
    chosen = DEPLOYMENTS[deployment]()
    folder, twin = written("cmake", chosen, tmp_path), Interpreter(chosen.program)
    program = tmp_path / "learn"
    run(
        *host_compiler(),
        "-std=c99",
        *STRICT,
        f"-I{folder / 'src'}",
        folder / "example" / "learn.c",
        *objects(folder / "src"),
        "-lm",
        "-o",
        program,
    )
    x, lines, expected = samples(6), [], []
    for number, (sample, inputs) in enumerate(zip(x, chosen.inputs(x), strict=True)):
        lines += [repr(float(value)) for value in sample.reshape(-1)]
        if deployment == "values":
            lines += ["=20.5 -3.25"]
            twin.learn(inputs, chosen.targets(np.array([[20.5, -3.25]]))[0])
            expected += ["learned"]
            continue
        lines += [f"={number % 3}", "?"]
        twin.learn(inputs, number % 3)
        expected += ["learned", f"class {twin.predict(inputs)}"]
    done = subprocess.run([program], input="\n".join([*lines, ""]), capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == expected


def test_a_package_speaks_the_serial_protocol_with_the_names_of_its_model(tmp_path: Path) -> None:
    chosen = DEPLOYMENTS["int8"]()
    folder, twin = written("cmake", chosen, tmp_path, prefix="wake_"), Interpreter(chosen.program)
    spoken, board = folder / "example" / "protocol", tmp_path / "board"
    files = [spoken / "main.c", spoken / "protocol.c", *objects(folder / "src")]
    run(*host_compiler(), "-std=c99", *STRICT, f"-I{folder / 'src'}", *files, "-lm", "-o", board)
    inputs = chosen.inputs(samples(1))[0]
    commands = ["profile", f"db load {inputs.nbytes}", f"db {inputs.tobytes().hex()}", "learn 2", "infer 1 0", "state"]
    replies = answers(board, [command.encode() for command in commands])
    twin.learn(inputs, 2)
    twin.predict(inputs)
    assert replies[1][1] == "m-model-[Learner]"
    scores = [float(value) for value in replies[5][-1].removeprefix("m-results-[").removesuffix("]").split(",")]
    assert scores == pytest.approx((twin.output().astype(float) + 128) / 256, abs=1e-6)  # six decimals
    assert "steps=1," in replies[6][0]


def test_bad_lines_are_answered(tmp_path: Path) -> None:
    folder = written("cmake", DEPLOYMENTS["int8"](), tmp_path)
    program = tmp_path / "learn"
    sanitised = ["-fsanitize=address,undefined", "-fno-sanitize-recover"]
    sources = sorted((folder / "src").glob("*.c"))
    run(*host_compiler(), "-std=c99", *sanitised, f"-I{folder / 'src'}", folder / "example" / "learn.c", *sources, "-o", program)
    lines = ["?", "x" * 119, "x" * 5000, *["1e30"] * 70, "=99", "=", "=two", "nan", "?", "!"]
    done = subprocess.run([program], input="\n".join([*lines, ""]), capture_output=True, text=True, check=True, timeout=60)
    answers = done.stdout.splitlines()
    assert answers[0].endswith("readings")
    assert answers[-1] == "as exported"
    assert answers[-5:-2] == [f"not learned, code {code}" for code in (-1, -100, -100)]
    assert "too long a line" in answers


def test_arduino_s_rules_for_a_library(tmp_path: Path) -> None:
    """Those of arduino-lint that concern what is written here: its specification of library.properties, and where what lies."""
    folder = written("arduino", DEPLOYMENTS["int8"](), tmp_path)
    lines = (folder / "library.properties").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    assert list(fields) == [
        *("name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures", "includes"),
    ]
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}", fields["name"])
    assert not fields["name"].lower().startswith("arduino")
    assert re.fullmatch(r"\d+\.\d+\.\d+", fields["version"])
    assert fields["category"] == "Data Processing"
    assert (folder / "src" / fields["includes"]).is_file()
    for sketch in folder.glob("examples/*/*.ino"):
        assert sketch.stem == sketch.parent.name
    assert not [path for path in folder.rglob("*") if path.name.startswith(".") or path.suffix == ".exe"]


def test_platformio_s_and_esp_idf_s_descriptions_can_be_read(tmp_path: Path) -> None:
    described = json.loads(
        (written("platformio", DEPLOYMENTS["int8"](), tmp_path / "pio") / "lib/model/library.json").read_text(encoding="utf-8")
    )
    assert described["name"] == "Learner"
    component = (written("espidf", DEPLOYMENTS["int8"](), tmp_path / "idf") / "idf_component.yml").read_text(encoding="utf-8")
    assert 'version: "1.0.0"' in component


def test_a_second_export_keeps_what_the_user_changed(cli: CommandLine, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "learner"
    command = ("export", models / "float.onnx", "--to", "arduino", "--with-training", "-o", out)
    assert cli(*command).status == 0
    sketch, header = out / "examples" / "Learn" / "Learn.ino", out / "src" / "model.h"
    sketch.write_text("// mine\n", encoding="utf-8")
    before = header.read_text(encoding="utf-8")
    header.write_text(before + "/* old */\n", encoding="utf-8")
    again = cli(*command)
    assert again.status == 0, again.err
    assert sketch.read_text(encoding="utf-8") == "// mine\n"
    assert header.read_text(encoding="utf-8") == before
    assert "Learn.ino" in again.err


def test_a_model_of_several_inputs_has_no_stream(tmp_path: Path) -> None:
    layers = (Layer("other", Input(), (), (3,)), Layer("both", Add(), ("input", "other"), (3,)))
    program = deploy(Network("two", (3,), layers)).program
    with pytest.raises(Unsupported, match=r"package of 'two': got 2 inputs; allowed: one; export it with --to c"):
        write_package(load_package("cmake"), program, tmp_path / "two", "two", prefix="eff_", command="edgeff export")
    assert not (tmp_path / "two").exists()


def test_two_models_in_one_package(cli: CommandLine, models: Path, tmp_path: Path) -> None:
    """A CMSIS-Pack's description, which lists the files, is written anew with the second; its examples then are the user's."""
    out = tmp_path / "learner"
    for prefix in ("wake_", "word_"):
        cli.ok("export", models / "float.onnx", "--to", "cmsis-pack", "--with-training", "--prefix", prefix, "-o", out)
    assert {path.name for path in (out / "src").glob("*model.c")} == {"wake_model.c", "word_model.c"}
    assert {path.name for path in (out / "check").glob("*main.c")} == {"wake_main.c", "word_main.c"}
    described = (out / "edgeff.learner.pdsc").read_text(encoding="utf-8")
    assert set(re.findall(r'name="(src/[^"]*)"', described)) == {"src/", *(f"src/{path.name}" for path in (out / "src").iterdir())}
    for folder, file in re.findall(r'folder="([^"]*)"(?:.|\n)*?load="([^"]*)"', described):
        assert (out / folder / file).is_file()


def test_a_name_that_environments_refuse(cli: CommandLine, models: Path, tmp_path: Path) -> None:
    done = cli("export", models / "float.onnx", "--to", "arduino", "-o", tmp_path / "my learner")
    assert done.status == 2
    assert "name of the package: got 'my learner'" in done.err
    assert not (tmp_path / "my learner").exists()
