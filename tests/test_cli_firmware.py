"""The commands that go on to C and to boards: export, verify, cost, build, profile, simulate."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from model_files import float_network

from edgeff.device.boards import load_boards
from edgeff.device.toolchains import TOOLCHAINS
from edgeff.device.toolchains.host import host_compiler
from edgeff.formats import load
from edgeff.formats.onnx.writer import to_onnx

C_FILES = {"edgeff.h", "example/main.c", "model.c", "model.h"}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("float", ["--with-training"]),
        ("float", ["--with-training", "--rule", "dfa", "--numeric", "int16", "--set", "lr=0.01"]),
        ("int8", []),
        ("ff", []),
        ("ff", ["--with-training", "--numeric", "int8"]),
    ],
)
def test_exported_c_checks_itself(cli: CommandLine, models: Path, folder: Path, model: str, options: list[str]) -> None:
    result = cli.ok("export", models / f"{model}.onnx", "--to", "c", *options, "-o", "model_c", "--json").json
    assert set(result["files"]) == set(contents(folder / "model_c"))
    assert set(result["files"]) > C_FILES
    sources = [*sorted(map(str, (folder / "model_c").glob("*.c"))), str(folder / "model_c" / "example" / "main.c")]
    flags = ["-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", f"-I{folder / 'model_c'}"]
    subprocess.run([*host_compiler(), *flags, *sources, "-o", "check"], check=True, timeout=120)
    checked = subprocess.run([str(folder / "check")], capture_output=True, text=True, check=False, timeout=60)
    assert checked.stdout.splitlines()[-1] == "ok: every bit as in the reference"
    text = (folder / "model_c" / "model.c").read_text(encoding="utf-8")
    assert f"edgeff export {model}.onnx --to c" in text
    assert str(folder) not in text


def test_the_same_export_gives_the_same_bytes_and_keeps_other_files(cli: CommandLine, models: Path, folder: Path) -> None:
    command = ("export", models / "float.onnx", "--to", "c", "--with-training", "-o")
    cli.ok(*command, "a")
    cli.ok(*command, "deep/er/b")
    first = contents(folder / "a")
    assert contents(folder / "deep/er/b") == first
    (folder / "a" / "notes.txt").write_text("mine", encoding="utf-8")
    cli.ok("export", models / "float.onnx", "--to", "c", "-o", "a")
    names = set(contents(folder / "a"))
    assert "notes.txt" in names
    assert names - {"notes.txt"} < set(first)


def test_models_of_other_prefixes_share_a_folder_in_any_order(cli: CommandLine, models: Path, folder: Path) -> None:
    wake = ("export", models / "int8.onnx", "--to", "c", "--prefix", "wake_", "-o")
    gesture = ("export", models / "float.onnx", "--to", "c", "--with-training", "--prefix", "gesture_", "-o")
    for command in (wake, gesture):
        cli.ok(*command, "a")
        cli.ok(*command, "b" if command is wake else "c")
    for command in (gesture, wake, gesture):
        cli.ok(*command, "d")
    alone = contents(folder / "b") | contents(folder / "c")
    assert contents(folder / "a") == contents(folder / "d") == alone
    for name in ("wake_", "gesture_"):
        sources = [*sorted(map(str, (folder / "a").glob("*.c"))), str(folder / "a" / "example" / f"{name}main.c")]
        subprocess.run([*host_compiler(), "-std=c99", "-Werror", f"-I{folder / 'a'}", *sources, "-o", "check"], check=True, timeout=120)
        checked = subprocess.run([str(folder / "check")], capture_output=True, text=True, check=False, timeout=60)
        assert checked.stdout.splitlines()[-1] == "ok: every bit as in the reference"


@pytest.mark.parametrize("prefix", ["", "1x", "a-b", "_a", "a__b", "eff_x_", "EFF_", "wa ke", "é_", "a" * 32, "x;"])
def test_a_prefix_that_c_cannot_take_is_refused(cli: CommandLine, models: Path, folder: Path, prefix: str) -> None:
    refused = cli("export", models / "int8.onnx", "--to", "c", "--prefix", prefix, "-o", "a")
    assert refused.status == 2
    assert "prefix: got" in refused.err
    assert "name it after the model" in refused.err
    assert not (folder / "a").exists()


@pytest.mark.usefixtures("folder")
def test_cost_is_that_of_the_firmware(cli: CommandLine, models: Path) -> None:
    command = (models / "float.onnx", "--numeric", "int8", "--board", "nucleo_l4r5zi")
    learn = cli.ok("cost", *command, "--rule", "pepita", "--json").json
    infer = cli.ok("cost", *command, "--json").json
    assert set(learn) == {"layers", "infer", "learn", "weight_bytes", "board"}
    assert {tuple(layer) for layer in learn["layers"]} == {("name", "kernel", "shape", "macs", "weight_bytes", "activation_bytes")}
    assert [layer["name"] for layer in learn["layers"]] == ["dense_1", "dense_2", "softmax"]
    assert sum(layer["macs"] for layer in learn["layers"]) == learn["infer"]["macs"] == 64 * 16 + 16 * 10
    assert sum(layer["weight_bytes"] for layer in learn["layers"]) == learn["weight_bytes"]
    assert infer["learn"] == {"macs": None, "arena_bytes": None, "arena_lower_bound_bytes": None, "save_bytes": None}
    assert learn["learn"]["arena_lower_bound_bytes"] == learn["learn"]["arena_bytes"]
    assert infer["infer"] == learn["infer"]
    for rule, expected in (("pepita", learn["learn"]), (None, learn["infer"])):
        options = ["--rule", rule] if rule else []
        built = cli.ok("build", *command, *options, "-o", f"firmware_{rule}", "--json").json
        assert built["memory"]["arena_bytes"] == expected["arena_bytes"]
        assert Path(built["elf"]).read_bytes().startswith(b"\x7fELF")
    (header,) = Path("firmware_pepita").rglob("generated/model.h")
    assert f"#define EFF_SAVE_BYTES {learn['learn']['save_bytes']}u\n" in header.read_text(encoding="utf-8")
    assert [part["board"]["save_buffer_fits"] for part in (learn, infer)] == [True, None]
    tight = cli.ok("cost", "64-40-10", "--rule", "bp", "--board", "microbit", "--json").json["board"]
    assert (tight["fits"], tight["save_buffer_fits"]) == (True, False)
    assert "the RAM does not hold a saved state of 11,872 bytes in a buffer as well" in tight["summary"]


def test_cost_says_what_does_not_fit_and_what_would(cli: CommandLine, folder: Path) -> None:
    large = float_network((64, 500, 10), bias=False)
    (folder / "large.onnx").write_bytes(to_onnx(large).SerializeToString())
    command = ("cost", "large.onnx", "--rule", "bp", "--board", "nucleo_f446re")
    board = cli.ok(*command, "--json").json["board"]
    assert (board["name"], board["fits"]) == ("nucleo_f446re", False)
    assert f"does not fit nucleo_f446re: {-board['free_ram_bytes']:,} bytes of RAM too few" in cli.ok(*command).out
    assert re.search(r"rules that would fit: .*frozen", board["summary"])


def test_cost_of_a_network_by_its_name_on_every_board(cli: CommandLine) -> None:
    command = ("cost", "resnet8", "--board", "all")
    found = cli.ok(*command, "--json").json
    assert found["infer"]["macs"] == 12_501_632
    assert found["layers"][0]["shape"] == [32, 32, 16]
    boards = {board["name"]: board for board in found["boards"]}
    assert set(boards) == set(load_boards())
    large = boards["nucleo_f446re"]
    assert (large["fits"], boards["nucleo_l4r5zi"]["fits"]) == (False, True)
    shown = cli.ok(*command).out
    assert re.search(rf"nucleo_f446re +no +131,072 +{large['free_ram_bytes']:,} ", shown)
    assert f"does not fit nucleo_f446re: {-large['free_ram_bytes']:,} bytes of RAM too few, of 131,072" in shown
    assert cli.ok("cost", "resnet8", "--numeric", "int8", "--json").json["infer"]["arena_bytes"] == 33_312


def test_cost_of_an_unknown_network_lists_the_known_ones(cli: CommandLine) -> None:
    ended = cli("cost", "resnet9")
    assert ended.status == 2
    assert re.fullmatch(r"error: model: got 'resnet9', no such file or network; allowed: .*, ds_cnn, .*\n", ended.err)


def test_an_autoencoder_learns_its_input(cli: CommandLine) -> None:
    found = cli.ok("cost", "fc_ae", "--rule", "bp", "--numeric", "int8", "--json").json
    assert (found["infer"]["macs"], found["infer"]["arena_bytes"]) == (264_192, 768)
    assert found["learn"]["arena_bytes"] == found["learn"]["arena_lower_bound_bytes"]


def test_build_gives_a_project_that_is_replaced_by_the_next(cli: CommandLine, models: Path, folder: Path) -> None:
    command = ("build", models / "float.onnx", "--board", "rpi_pico", "-o", "project")
    cli.ok(*command, "--rule", "pepita", "--train-layers", "dense_2")
    source = next((folder / "project").rglob("model.c"))
    assert "learns by frozen:dense_1,pepita" in source.read_text(encoding="utf-8")
    cli.ok(*command, "--rule", "pepita", "--train-layers", "dense_1,dense_2")
    more = {path.name for path in (folder / "project").rglob("eff_*.c")}
    cli.ok(*command)
    assert {path.name for path in (folder / "project").rglob("eff_*.c")} < more
    assert [path.name for path in folder.iterdir()] == ["project"]


def test_profile_gives_a_run_with_layers(cli: CommandLine, models: Path) -> None:
    command = ("profile", models / "float.onnx", "--board", "nucleo_l4r5zi", "--rule", "pepita", "--numeric", "int8")
    entry = cli.ok(*command, "--json").json
    check_run(entry, rule="pepita", numeric="int8")
    for line in ("infer", "learn"):
        assert {"name", "kernel", "macs", "instructions", "cycles"} <= set(entry[line]["layers"][0])
        assert sum(layer["instructions"] for layer in entry[line]["layers"]) == entry[line]["instructions"]
    assert f"{entry['learn']['instructions']:,}" in cli.ok(*command).out


@pytest.mark.usefixtures("folder")
def test_profile_on_qemu_and_on_a_core_without_a_cycle_model(cli: CommandLine, models: Path) -> None:
    if shutil.which("qemu-system-arm") is None:
        pytest.skip("QEMU is not installed: apt-get install qemu-system-arm")
    command = ("profile", models / "float.onnx", "--numeric", "int8")
    runs = [cli.ok(*command, "--board", "mps2_an386", "--target", target, "--json").json for target in ("unicorn", "qemu")]
    assert [run.pop("target") for run in runs] == ["unicorn", "qemu"]
    assert runs[0] == runs[1]
    entry = cli.ok(*command, "--board", "mps3_an547", "--json").json
    assert (entry["target"], entry["infer"]["evidence"]) == ("qemu", "exact (emulated)")
    assert (entry["infer"]["cycles"], entry["infer"]["latency_s"]) == (None, None)
    assert entry["infer"]["instructions"] == sum(layer["instructions"] for layer in entry["infer"]["layers"])
    shown = cli.ok(*command, "--board", "mps3_an547").out
    assert f": {entry['infer']['instructions']:,} instructions, exact (emulated)\n" in shown


@pytest.mark.usefixtures("folder")
def test_a_target_that_the_board_does_not_list_is_refused_before_any_work(cli: CommandLine, models: Path) -> None:
    for command in (("profile", models / "float.onnx"), ("simulate", models / "float.onnx", "digits", "--rule", "bp")):
        ended = cli(*command, "--board", "nucleo_l4r5zi", "--target", "qemu")
        assert (ended.status, ended.err) == (2, "error: target of board nucleo_l4r5zi: got 'qemu'; allowed: unicorn\n")


@pytest.mark.parametrize("toolchain", ["zig", "gcc"])
def test_profile_says_which_compiler_built_what_it_counts(cli: CommandLine, toolchain: str) -> None:
    if not TOOLCHAINS[toolchain].available():
        pytest.skip(f"{toolchain} is not installed: {TOOLCHAINS[toolchain].how_to_get}")
    shown = cli.ok("profile", "64-8-10", "--board", "nucleo_l4r5zi", "--numeric", "int8", "--toolchain", toolchain).out
    assert f"inference of 64-8-10, int8, on nucleo_l4r5zi, built by {toolchain} " in shown
    assert re.search(r"dense_1 +eff_dense_i8 +forward +8 +512 +[\d,]+ +\d", shown)


def test_simulate_learns_and_says_what_a_step_costs(cli: CommandLine, models: Path) -> None:
    command = ("simulate", models / "float.onnx", "digits", "--board", "nucleo_l4r5zi", "--rule", "pepita", "--samples", "60")
    entry = cli.ok(*command, "--json").json
    check_run(entry, rule="pepita", numeric="float32")
    accuracy = entry["accuracy"]
    assert accuracy["float"] == accuracy["before"] == load(models / "float.onnx").metadata["accuracy"]["test"]
    assert accuracy["quantized"] is None
    assert accuracy["after"] > 0.5
    assert cli.ok(*command, "--json").json == entry


def check_run(entry: dict[str, Any], rule: str, numeric: str) -> None:
    assert (entry["task"], entry["network"], entry["rule"], entry["numeric"]) == ("digits", "64-16-10", rule, numeric)
    assert (entry["board"], entry["target"], entry["seed"]) == ("nucleo_l4r5zi", "unicorn", 3)
    assert {"flash_bytes", "weight_bytes", "arena_bytes", "static_ram_bytes", "stack_bytes", "total_ram_bytes"} <= set(entry["memory"])
    for line in ("infer", "learn"):
        assert {"macs", "instructions", "cycles", "latency_s", "evidence"} <= set(entry[line])
        assert entry[line]["instructions"] > entry[line]["macs"]


@pytest.mark.usefixtures("folder")
def test_verify_compares_every_execution(cli: CommandLine, models: Path) -> None:
    np.savez("x.npz", x=np.random.default_rng(0).random((3, 64)))
    result = cli.ok("verify", models / "int8.onnx", "--inputs", "x.npz", "--board", "nucleo_l4r5zi", "--json").json
    assert result["ok"] is True
    keys = {"a", "b", "what", "elements", "differing", "max_difference", "allowed"}
    assert all(keys <= set(comparison) for comparison in result["comparisons"])
    assert any("nucleo_l4r5zi" in comparison["b"] for comparison in result["comparisons"])
    assert any("steps of pepita" in comparison["what"] for comparison in result["comparisons"])


def test_a_forbidden_difference_ends_in_1(cli: CommandLine, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeff import verify

    wrong = verify.Verification((verify.Comparison("NumPy twin", "C on the host", "scores", 640, 2, 3, 0),))
    monkeypatch.setattr(verify, "verify", lambda *_args, **_options: wrong)
    ended = cli("verify", models / "int8.onnx", "--json")
    assert (ended.status, ended.json["ok"]) == (1, False)
    assert re.fullmatch(r"error: 1 of 1 comparisons failed; NumPy twin against C on the host, scores: got 2 of 640 .*\n", ended.err)
