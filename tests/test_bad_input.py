"""Bad input ends in one line that says what was wrong, with exit status 2, and leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from bad_files import HOSTILE_NAMES, make_bad_files
from command_line import CommandLine, make_models

from edgeff.device.toolchains.host import host_compiler

TRAIN = "train digits --network 64-10 --rule bp"
NPZ = r"allowed: a \.npz file with one array 'x' of numbers, shape \(n, 64\)"

# name: arguments, and the line behind "error: " as a regular expression from its beginning to its end
CASES: dict[str, tuple[str, str]] = {
    "no command of this name": ("trian digits", r"unknown command: got 'trian'; allowed: demo, list, tune, fit, .*; see `edgeff --help`"),
    "no option of this name": (f"{TRAIN} --epoch 3 -o o.onnx", r"no such option '--epoch'.*; see `edgeff train --help`"),
    "a missing option": ("train digits --rule bp -o o.onnx", r"missing option '--network'; see `edgeff train --help`"),
    "a missing argument": ("evaluate float.onnx", r"missing argument 'TASK'; see `edgeff evaluate --help`"),
    "one argument too many": ("list rules boards", r"got unexpected extra argument \(boards\); see `edgeff list --help`"),
    "an unknown kind": ("list things", r"unknown kind: got 'things'; allowed: rules, networks, tasks, boards, cores, targets, templates"),
    # model files
    "no file": ("evaluate missing.onnx digits", r"model file 'missing\.onnx': got no such file; allowed: an \.onnx or \.tflite file"),
    "a folder": ("import folder -o o.onnx", r"model file 'folder': got a folder or device; allowed: an \.onnx or \.tflite file"),
    "an empty file": ("cost empty.onnx --rule bp", r"model file 'empty\.onnx': got 0 bytes; allowed: 1 to \d+ bytes"),
    "half an ONNX file": (
        "verify truncated.onnx",
        r"ONNX file: got no protobuf at byte \d+; allowed: an ONNX model; export or download it again",
    ),
    "half a TFLite file": (
        "import truncated.tflite -o o.onnx",
        r"damaged TFLite file, .*: got .* of 900; allowed: offsets and lengths inside the file; .*",
    ),
    "garbage": (
        "quantize garbage.onnx --calibrate digits -o o.onnx",
        r"ONNX file: got no protobuf at byte \d+; allowed: an ONNX model; .*",
    ),
    "text": ("import text.txt -o o.onnx", r"ONNX file: got no protobuf at byte \d+; allowed: an ONNX model; .*"),
    "JSON called ONNX": (
        "evaluate json.onnx digits",
        r"model file 'json\.onnx': got JSON text; allowed: \.onnx, \.tflite, \.keras and \.h5; .*",
    ),
    "a zip archive": (
        "import zip.keras -o o.onnx",
        r"model file 'zip\.keras': got a zip archive .*; allowed: \.onnx, \.tflite, \.keras and \.h5; .*",
    ),
    "a NaN among the weights": (
        "import nan.onnx -o o.onnx",
        r"ONNX tensor 'w': got 1 NaN or infinite of 640 values; allowed: finite numbers",
    ),
    "an infinite weight": ("cost inf.onnx --rule bp", r"ONNX tensor 'w': got 1 NaN or infinite of 640 values; allowed: finite numbers"),
    "weights of a wrong shape": (
        "import shape.onnx -o o.onnx",
        r"node 'fc', operator 'Gemm': got input \(64,\) times \(63, 10\); allowed: .*",
    ),
    "external data": (
        "import external.onnx -o o.onnx",
        r"ONNX tensor 'w': got data in an external file; allowed: data inside the model; .*",
    ),
    "a cycle": (
        "import cycle.onnx -o o.onnx",
        r"node 'first', operator 'Gemm': got input 'b' that no earlier node makes; allowed: .* without a cycle",
    ),
    "an operator without a layer": ("import sine.onnx -o o.onnx", r"node 'wave', operator 'Sin': got an operator .*; allowed: .*Gemm.*"),
    # names
    "an unknown rule": (
        "train digits --network 64-10 --rule sgd -o o.onnx",
        r"unknown rule: got 'sgd'; allowed: .*pepita.*; see `edgeff list rules`",
    ),
    "an unknown task": (
        "train cats --network 64-10 --rule bp -o o.onnx",
        r"unknown task: got 'cats'; allowed: .*digits.*; see `edgeff list tasks`",
    ),
    "an unknown board": (
        "profile float.onnx --board uno",
        r"unknown board: got 'uno'; allowed: .*rpi_pico.*; or give the path of a board file \(\.toml\)",
    ),
    "an unknown network": (
        "train digits --network alexnet --rule bp -o o.onnx",
        r"network: got 'alexnet'; allowed: a dense list such as 64-32-10 .*",
    ),
    "an unknown format": (
        "export float.onnx --to keras -o o",
        r"unknown format: got 'keras'; allowed: onnx, tflite, c, arduino, cmake, cmsis-pack, espidf, platformio, zephyr",
    ),
    "an unknown numeric": ("cost float.onnx --rule bp --numeric int4", r"unknown numeric: got 'int4'; allowed: float32, int16, int8"),
    "an unknown engine": (
        "evaluate float.onnx digits --engine gpu",
        r"unknown engine: got 'gpu'; allowed: edgeff, onnxruntime, litert, tflm, c",
    ),
    "an unknown split": ("evaluate float.onnx digits --split validation", r"unknown split: got 'validation'; allowed: test, train"),
    "an unknown template": (
        "build float.onnx --board rpi_pico --template zephyr -o o",
        r"unknown firmware template: got 'zephyr'; allowed: bare_metal, serial",
    ),
    "an unknown suite": ("bench everything", r"unknown suite: got 'everything'; allowed: digits, mlperf-tiny, rules"),
    "an unknown layer": (
        "build float.onnx --board rpi_pico --rule bp --train-layers head -o o",
        r"option --train-layers: got 'head'; allowed: all, or some of dense_1, dense_2",
    ),
    "the first layers only": (
        "build float.onnx --board rpi_pico --rule bp --train-layers dense_1 -o o",
        r"option --train-layers: got dense_1; allowed: the last layers, such as dense_2",
    ),
    "a composition of rules without a layer": (
        "train digits --network 64-32-10 --rule frozen,bp -o o.onnx",
        r"composition of rules: got 'frozen,bp'; allowed: RULE:LAYER,..,RULE such as frozen:conv_2,pepita",
    ),
    # shapes
    "a dense list with a zero": (
        "train digits --network 64-0-10 --rule bp -o o.onnx",
        r"network: got '64-0-10'; allowed: .* sizes 1 to 32,768, cnn_1d, .*resnet8",
    ),
    "a dense list of one": ("train digits --network 64 --rule bp -o o.onnx", r"network: got '64'; allowed: a dense list .*"),
    "a dense list with a gap": ("train digits --network 64--10 --rule bp -o o.onnx", r"network: got '64--10'; allowed: a dense list .*"),
    "a dense list too wide": (
        "train digits --network 64-99999999-10 --rule bp -o o.onnx",
        r"network: got '64-99999999-10'; allowed: .* 1 to 32,768, .*resnet8",
    ),
    "a dense list too large": (
        "train digits --network 64-32768-32768-10 --rule bp -o o.onnx",
        r"network: got '64-32768-32768-10' with 1,076,166,656 weights; allowed: at most 16,777,216",
    ),
    "an input that is not the task's": (
        "train digits --network 32-10 --rule bp -o o.onnx",
        r"network input: got \(32,\); allowed: .*\(64,\).*; choose .*",
    ),
    "an output that is not the task's": (
        "train digits --network 64-3 --rule bp -o o.onnx",
        r"network output: got \(3,\); allowed: .*\(10,\).*; choose .*",
    ),
    "a model whose input is not the task's": (
        "evaluate narrow.onnx digits",
        r"network input: got \(32,\); allowed: \(64,\), that of task digits; choose .*",
    ),
    "a model whose output is not the task's": (
        "simulate three.onnx digits --board rpi_pico --rule bp",
        r"network output: got \(3,\); allowed: \(10,\), the classes of task digits; choose .*",
    ),
    "calibration on a task of another shape": (
        "export narrow.onnx --to c --numeric int8 --calibrate digits -o o",
        r"network input: got \(32,\); allowed: \(64,\), that of task digits; choose .*",
    ),
    "a rule that needs a hidden layer": (
        "train digits --network 64-10 --rule ff -o o.onnx",
        r"rule ff: got a network without a hidden layer; .*",
    ),
    # settings
    "an unknown setting": (f"{TRAIN} --set speed=1 -o o.onnx", r"unknown setting: got 'speed'; allowed: lr, relative_lr, momentum, .*"),
    "a setting that is no number": (f"{TRAIN} --set lr=fast -o o.onnx", r"setting lr: got 'fast'; allowed: auto, or a value like [\d.]+"),
    "a setting out of range": (f"{TRAIN} --set lr=-1 -o o.onnx", r"setting lr: got -1\.0; allowed: 0 to 1000"),
    "a setting that is NaN": (f"{TRAIN} --set lr=nan -o o.onnx", r"setting lr: got 'nan'; allowed: auto, or a value like [\d.]+"),
    "a setting without a value": (f"{TRAIN} --set lr -o o.onnx", r"option --set: got 'lr'; allowed: key=value, such as lr=0\.05"),
    "a setting without a rule": (
        "cost float.onnx --set lr=0.1",
        r"option --set: got no rule; allowed: settings of a rule; name it: --rule R",
    ),
    "a training that diverges": (
        f"{TRAIN} --set lr=1000 -o o.onnx",
        r"training with bp diverged in epoch \d+, layer 'dense_1': got largest weight .*; lower .*",
    ),
    "negative epochs": (f"{TRAIN} --epochs -1 -o o.onnx", r"option --epochs: got '-1'; allowed: 0 to 1000000"),
    "epochs in words": (f"{TRAIN} --epochs ten -o o.onnx", r"option --epochs: got 'ten'; allowed: 0 to 1000000"),
    "a negative seed": (f"{TRAIN} --seed -1 -o o.onnx", r"option --seed: got '-1'; allowed: 0 to 4294967295"),
    "a seed too large": ("doctor --seed 4294967296", r"option --seed: got '4294967296'; allowed: 0 to 4294967295"),
    "negative samples": (
        "simulate float.onnx digits --board rpi_pico --rule bp --samples -1",
        r"option --samples: got '-1'; allowed: 0 to 1000000000",
    ),
    "no workers": ("bench --workers 0", r"option --workers: got '0'; allowed: 1 to 1024"),
    "momentum on a device": (
        "simulate float.onnx digits --board rpi_pico --rule bp --set momentum=0.9",
        r"momentum on a device: got 0\.9; allowed: 0\.0; set momentum=0 for the device",
    ),
    "stored feedback too wide": (
        "cost wide_output.onnx --rule pepita --numeric int8 --calibrate digits --set feedback=stored",
        r"a stored feedback matrix in integers: got 600 errors; allowed: at most 516; generate it \(feedback=generated\)",
    ),
    # what does not go together
    "quantised twice": (
        "quantize int8.onnx --calibrate digits -o o.onnx",
        r"quantise: got a network that is int8 already; allowed: a float32 network; start from the float model",
    ),
    "float from int8": (
        "export int8.onnx --to c --numeric float32 -o o",
        r"numeric: got float32 for a model that is int8; allowed: int8; .*",
    ),
    "int16 in a model file": (
        "quantize float.onnx --calibrate digits --numeric int16 -o o.onnx",
        r"a model file in int16: got no form for it in ONNX; allowed: int8; keep the float model .*",
    ),
    "learning with per-channel weights": (
        "export channel.onnx --to c --with-training -o o",
        r"learning in layer 'dense_1': got per-channel weight scales; allowed: per-tensor; quantise with --per-tensor",
    ),
    "a rule the int8 model was not made for": (
        "simulate int8.onnx digits --board rpi_pico --rule ff",
        r"rule ff: got a quantised network without the layers it needs; allowed: one trained with ff; start from the float model",
    ),
    "a gradient through a normalisation": (
        "export ff.onnx --to c --with-training --rule bp -o o",
        r"operator 'normalise': got a gradient .*",
    ),
    "a board for a training graph": (
        "export float.onnx --to onnx --with-training --board rpi_pico -o o.onnx",
        r"option --board: got an export to onnx; allowed: --to c",
    ),
    "a training graph by no known rule": (
        "export plain.onnx --to onnx --with-training -o o.onnx",
        r"option --with-training: got a model without a known rule; allowed: .*",
    ),
    "noise in C": (
        "export float.onnx --to c --with-training --noise input -o o",
        r"option --noise: got an export to c; allowed: --to onnx or --to tflite, --with-training",
    ),
    "variables in ONNX": (
        "export float.onnx --to onnx --with-training --state variables -o o.onnx",
        r"option --state variables: got an export to onnx; allowed: --to tflite --with-training, or with ports --to onnx --with-training",
    ),
    "a board for ONNX": (
        "export float.onnx --to onnx --board rpi_pico -o o.onnx",
        r"option --board: got an export to onnx; allowed: --to c; .*",
    ),
    "a rule without training": (
        "export float.onnx --to c --rule bp -o o",
        r"option --rule: got no --with-training; allowed: both or none; .*",
    ),
    "training by no known rule": (
        "export plain.onnx --to c --with-training -o o",
        r"option --with-training: got a model without a known rule; allowed: .*",
    ),
    "quantising for no known task": (
        "profile plain.onnx --board rpi_pico --numeric int8",
        r"quantising to int8: got a model without a known task; .*",
    ),
    # boards
    "a board that is no TOML": (
        "cost float.onnx --rule bp --board no_toml.toml",
        r"board file no_toml\.toml: got not TOML: .*; allowed: TOML in UTF-8",
    ),
    "a board without a core": (
        "cost float.onnx --rule bp --board no_core.toml",
        r"board file no_core\.toml: got no core, no fpu, .*, no sources; allowed: core = \"cortex-m4\", .*; begin from another board: .*",
    ),
    "a board under another name": (
        "cost float.onnx --rule bp --board other_name.toml",
        r"board file other_name\.toml: got the name 'rpi_pico'; .*",
    ),
    "no board file": ("cost float.onnx --rule bp --board none.toml", r"board file none\.toml: got No such file or directory; allowed: .*"),
    "RAM that is too small": (
        "build large.onnx --board nucleo_f446re --rule bp -o deep/er/o",
        r"classifier with bp on nucleo_f446re: got 23,\d{3} bytes of RAM too few; rules that would fit: .*frozen.*",
    ),
    "flash that is too small": (
        "build large.onnx --board tiny.toml -o o",
        r"the firmware is larger than the board's memory: got flash is \d+ bytes too small; .*",
    ),
    # outputs
    "a file in no folder": (f"{TRAIN} -o none/o.onnx", r"output file 'none/o\.onnx': got no folder 'none'; allowed: .*; mkdir -p 'none'"),
    "a file in a file": (f"{TRAIN} -o text.txt/o.onnx", r"output file 'text\.txt/o\.onnx': got 'text\.txt', which is a file; .*"),
    "a folder for a file": (f"{TRAIN} -o folder", r"output file 'folder': got a folder; allowed: the name of a file"),
    "a device for a file": (f"{TRAIN} -o /dev/null", r"output file '/dev/null': got a device; allowed: a file or a new name"),
    "a file of another kind": (f"{TRAIN} -o o.tflite", r"output file 'o\.tflite': got the suffix \.tflite; allowed: \.onnx, .*"),
    "a place that takes no file": (
        "export float.onnx --to onnx -o /proc/o.onnx",
        r"output file '/proc/o\.onnx': got .*; allowed: a path that can be written",
    ),
    "a place that takes no folder": (
        "export float.onnx --to c -o /proc/o",
        r"output folder '/proc/o': got .*; allowed: a path that can be written",
    ),
    "a file for a folder": (
        "export float.onnx --to c -o text.txt",
        r"output folder 'text\.txt': got a file; allowed: a folder or a new name",
    ),
    "a folder of something else": (
        "export float.onnx --to c -o foreign",
        r"output folder 'foreign': got other C files \('mine\.c'\); allowed: .*; choose .*",
    ),
    "a demo over something else": ("demo --out foreign", r"output folder 'foreign': got other files \('mine\.c'\); allowed: .*; choose .*"),
    "a rule that the demo does not have": (
        "demo --rule pepti",
        r"rule of the demo: got 'pepti'; allowed: bp, dfa, .*, mono_forward\+blocks",
    ),
    "a name too long": (
        f"{TRAIN} -o {'o' * 300}.onnx",
        r"output file 'o+\.onnx': got File name too long; allowed: a path that can be written",
    ),
    # arrays
    "no inputs": ("verify int8.onnx --inputs none.onnx", rf"inputs 'none\.onnx': got no such file; {NPZ}"),
    "inputs by a wrong key": ("verify int8.onnx --inputs key.npz", rf"inputs 'key\.npz': got the arrays images; {NPZ}"),
    "inputs of a wrong shape": ("verify int8.onnx --inputs shape.npz", rf"inputs 'shape\.npz': got float32 of shape \(4, 63\); {NPZ}"),
    "no samples": ("verify int8.onnx --inputs none.npz", rf"inputs 'none\.npz': got float32 of shape \(0, 64\); {NPZ}"),
    "words for numbers": ("verify int8.onnx --inputs words.npz", rf"inputs 'words\.npz': got <U1 of shape \(2,\); {NPZ}"),
    "a NaN among the inputs": (
        "verify int8.onnx --inputs nan.npz",
        r"inputs 'nan\.npz': got 1 values that are NaN or infinite; allowed: finite numbers",
    ),
    "pickled inputs": ("verify int8.onnx --inputs pickle.npz", rf"inputs 'pickle\.npz': got pickled objects; {NPZ}"),
    "an .npy file": ("verify int8.onnx --inputs array.npy", rf"inputs 'array\.npy': got not an \.npz file; {NPZ}"),
    "half an .npz file": ("verify int8.onnx --inputs cut.npz", rf"inputs 'cut\.npz': got not an \.npz file; {NPZ}"),
    # reports
    "a folder without a report": ("report folder -o o.html", r"report folder/report\.json: got No such file or directory; allowed: .*"),
    "a report that is no JSON": (
        "report corrupt -o o.html",
        r"report corrupt/report\.json: got not JSON: .*; allowed: a report\.json of schema 1",
    ),
    "a report of another schema": (
        "report other -o o.html",
        r"report other/report\.json: got schema 99; allowed: a report\.json of schema 1",
    ),
    "a report without runs": (
        "report no_runs -o o.html",
        r"report no_runs/report\.json: got runs: .*; allowed: a report\.json of schema 1",
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good and bad files."""
    folder = tmp_path_factory.mktemp("files")
    make_bad_files(folder)
    return make_models(folder)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], files: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(files)
    return CommandLine(capsys)


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below ``folder`` with its size and the time it was last changed."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line(cli: CommandLine, files: Path, case: str) -> None:
    arguments, line = CASES[case]
    before = contents(files)
    ended = cli(*arguments.split())
    assert re.fullmatch(f"error: {line}\n", ended.err), ended.err
    assert (ended.status, ended.out) == (2, "")
    assert contents(files) == before


def test_hostile_names_reach_neither_c_nor_the_terminal(cli: CommandLine, tmp_path: Path) -> None:
    """The names stay in the model as data; what is made of them is C that compiles without a warning, and text on one line."""
    shown = cli.ok("cost", "hostile.onnx", "--rule", "frozen", "--board", "rpi_pico")
    shown.out.encode("utf-8")
    assert [c for c in shown.out if not (c.isprintable() or c == "\n")] == []
    assert [layer["name"] for layer in cli.ok("import", "hostile.onnx", "-o", tmp_path / "m.onnx", "--json").json["layers"]] == [
        *HOSTILE_NAMES
    ]
    cli.ok("export", "hostile.onnx", "--to", "c", "--with-training", "--rule", "frozen", "-o", tmp_path / "c")
    text = (tmp_path / "c" / "model.c").read_text(encoding="ascii")
    assert re.search(r"^\s*(#error|#include <d>|system|int main)", text, re.MULTILINE) is None
    sources = [*sorted(map(str, (tmp_path / "c").glob("*.c"))), str(tmp_path / "c" / "example" / "main.c"), f"-I{tmp_path / 'c'}"]
    flags = ["-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*host_compiler(), *flags, *sources, "-o", str(tmp_path / "check")], check=True, timeout=120)
    subprocess.run([str(tmp_path / "check")], check=True, timeout=60, stdout=subprocess.DEVNULL)
