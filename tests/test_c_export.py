"""Generated C: any C99 compiler builds the folder, it checks itself to the bit, no name breaks it, and what it saves it takes back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_networks import Builder, as_int8
from small_networks import AUTOENCODING, EVERY_PROGRAM, deployed, samples, small

from edgeff import registry
from edgeff.codegen.folder import kernel_files, write_c
from edgeff.codegen.names import WIDEST_LINE, comment, identifiers, initialiser, literal
from edgeff.device.targets.host import HostTarget
from edgeff.device.toolchains.host import host_compiler
from edgeff.device.toolchains.objects import CACHE
from edgeff.errors import BadInput, EdgeffError
from edgeff.ir import Array, Layer, Network, Numeric, Program
from edgeff.kernels import Kernel
from edgeff.program.binding import binding
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.plan import plan
from edgeff.program.quantize import quantize
from edgeff.program.select import passed_over, select
from edgeff.program.state import OVERHEAD_BYTES, saved

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all", "-g", "-O1"]
LAST_LINE = "ok: every bit as in the reference"
HOSTILE = ("a */ system(", 'b"\n#error "', "int", "\\", "c/*", "??/", "\u202e\x1b[31m", "t" * 300, "dense.1", "dense 1")
_FOLDER = tempfile.TemporaryDirectory(prefix="edgeff-tests-c-")


def compiled(folder: Path, *options: str, files: list[str] | None = None, example: str = "main.c") -> str:
    """What the example of ``folder`` prints, built from ``files``, by default from all its C, and the example."""
    given = [Path(file) for file in files or sorted(map(str, folder.glob("*.c")))]
    sources = [file for file in given if file.suffix == ".c"] + [folder / "example" / example]
    command = [*host_compiler(), *options]
    with CACHE.objects(command, sources, folder) as objects:
        linked = [*command, *map(str, objects), *(str(file) for file in given if file.suffix != ".c"), "-o", str(folder / "a.out")]
        built = subprocess.run(linked, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
    ran = subprocess.run([str(folder / "a.out")], capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def extremes(program: Program) -> Array:
    """Inputs at the ends of the program's numbers, and random ones between."""
    tensor = program.tensors[program.input]
    rng = np.random.default_rng(3)
    low, high = {"float32": (-4.0, 4.0), "int8": (-128, 127), "int16": (-32767, 32767)}[tensor.dtype]
    rows = [np.full(tensor.elements, low), np.full(tensor.elements, high), rng.choice([low, high], tensor.elements)]
    return np.array([*rows, rng.uniform(low, high, tensor.elements), np.zeros(tensor.elements)]).astype(tensor.dtype)


@pytest.mark.parametrize(("rule", "numeric"), EVERY_PROGRAM)
def test_the_folder_builds_and_checks_itself(rule: str | None, numeric: Numeric, tmp_path: Path) -> None:
    write_c(deployed(rule, numeric, small(bias=rule != "ff")).program, tmp_path)
    assert compiled(tmp_path, *STRICT).splitlines()[-1] == LAST_LINE


def variants() -> list[tuple[str, Deployment]]:
    """Programs off the beaten track."""
    autoencoder = small("12-8-12", softmax=False)
    channels = quantize(small(bias=True), samples(40), per_channel=True)
    wide = quantize(small(bias=True), samples(40), "int16", weights="int8")
    return [
        *((f"autoencoder, {rule}", deployed(rule, "int8", autoencoder, target="input")) for rule in AUTOENCODING),
        ("stored feedback, float32", deployed("pepita", "float32", changes={"feedback": "stored"})),
        ("stored feedback, int8", deployed("pepita", "int8", changes={"feedback": "stored"})),
        ("stored feedback, int16", deployed("dfa", "int16", changes={"feedback": "stored"})),
        ("head", deployed("ff", "int8", changes={"predict": "head"})),
        ("to nearest", deployed("bp", "int8", stochastic=False)),
        ("per channel", deployed(None, "int8", channels)),
        ("int16 activations, int8 weights", deployed(None, "int16", wide)),
        ("no softmax", deployed("bp", "int16", small(softmax=False))),
        ("sizes of one", deployed("mempepita", "int8", small("1-1-2"))),
        ("three hidden layers", deployed("mempepita", "float32", small("12-5-6-7-4"))),
    ]


@cache
def sanitizers_missing() -> str:
    """Why the host's compiler cannot build with ASan and UBSan; empty when it can."""
    folder = Path(_FOLDER.name) / "sanitizers"
    (folder / "example").mkdir(parents=True)
    (folder / "example" / "main.c").write_text("int main(void) { return 0; }\n", encoding="utf-8")
    try:
        compiled(folder, *SANITIZERS)
    except (AssertionError, EdgeffError):
        return f"{host_compiler()[0]} has no ASan and UBSan"
    return ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "deployment"),
    [*((f"{rule}, {numeric}", (rule, numeric)) for rule, numeric in EVERY_PROGRAM), *variants()],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_c_is_clean_under_sanitizers_at_the_extremes(name: str, deployment: Any, tmp_path: Path) -> None:
    if sanitizers_missing():
        pytest.skip(sanitizers_missing())
    program = (deployment if isinstance(deployment, Deployment) else deployed(*deployment)).program
    x = extremes(program)
    write_c(program, tmp_path, samples=x, labels=np.arange(len(x)) % max(program.classes, 1))
    assert compiled(tmp_path, *STRICT, *SANITIZERS).splitlines()[-1] == LAST_LINE, name


def hostile() -> Network:
    """The small network, and nothing in it has a name that C could take."""
    network = small("12-8-8-8-4")
    names = {layer.name: name for layer, name in zip(network, HOSTILE, strict=False)}
    layers = tuple(
        Layer(names[layer.name], layer.op, tuple(names.get(i, i) for i in layer.inputs), layer.shape, layer.params) for layer in network
    )
    return Network('n */ "\n', network.input_shape, layers)


def test_no_name_breaks_the_c(tmp_path: Path) -> None:
    write_c(deployed("pepita", "int8", hostile()).program, tmp_path, command="edgeff */ \\\n#error")
    assert compiled(tmp_path, *STRICT).splitlines()[-1] == LAST_LINE
    for path in tmp_path.rglob("m*.[ch]"):
        assert path.read_text(encoding="utf-8").isascii()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_comment_stays_a_comment(text: str) -> None:
    found = comment(text)
    assert found.isascii()
    assert found.isprintable()
    assert not {"*/", "/*", "\\"} & {found[i : i + length] for i in range(len(found)) for length in (1, 2)}


def test_identifiers_are_unique() -> None:
    names = [*HOSTILE, "a_2", "a", "a.", "", " ", "t" * 301]
    found = identifiers(names, "t_")
    assert len(set(found.values())) == len(names)
    assert all(value.isidentifier() and value.isascii() and len(value) < 63 for value in found.values())


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, 0.1, -1e-45, 2.0**-126, 3.4028234e38])
def test_a_literal_keeps_every_bit(value: float) -> None:
    text = literal(value, "float32")
    assert np.float32(float.fromhex(text.rstrip("f"))).tobytes() == np.float32(value).tobytes()


def test_long_arrays_stand_in_columns() -> None:
    lines = initialiser(np.arange(-100, 100, dtype=np.int16), "int16").splitlines()
    assert (lines[0], lines[-1]) == ("{", "}")
    assert len({len(line) for line in lines[1:-2]}) == 1
    assert [int(text) for text in " ".join(lines[1:-1]).split(",")] == list(range(-100, 100))


@pytest.mark.parametrize(("rule", "numeric"), [("pepita", "int8"), ("ff", "float32"), (None, "int16")])
def test_the_text_is_the_same_in_every_process_and_fits_the_page(rule: str | None, numeric: Numeric, tmp_path: Path) -> None:
    source = write_c(deployed(rule, numeric).program, tmp_path / "here")
    script = (
        "import sys; from pathlib import Path; from edgeff.codegen.folder import write_c; from small_networks import deployed; "
        f"write_c(deployed({rule!r}, {numeric!r}).program, Path(sys.argv[1]))"
    )
    for seed in ("1", "2"):
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}
        subprocess.run([sys.executable, "-c", script, str(tmp_path / seed)], check=True, timeout=60, env=environment)
    for path_here in filter(Path.is_file, source.folder.rglob("*")):
        text = path_here.read_text(encoding="utf-8")
        assert max(map(len, text.splitlines())) <= 140
        assert "\n\n\n" not in text
        assert all((tmp_path / seed / path_here.relative_to(source.folder)).read_text(encoding="utf-8") == text for seed in ("1", "2"))


def test_a_layer_is_named_only_where_it_takes_no_form_of_the_core() -> None:
    build = Builder((6, 6, 4))
    build.window("wide", "depthwise_conv2d", (5, 5))
    frozen = deploy(as_int8(build.network()), numeric="int8").program
    assert [remark.split(",")[0] for remark in passed_over(frozen, frozenset({"dsp"}))] == [
        "wide: eff_depthwise_conv2d_i8 not in its form 'plane'"
    ]
    assert passed_over(frozen, frozenset()) == ()
    assert passed_over(deployed("pepita", "int8").program, frozenset({"dsp"})) == ()


def test_the_calls_are_the_programs_in_order(tmp_path: Path) -> None:
    program = select(deployed("pepita", "int8").program)
    text = (write_c(program, tmp_path).folder / "model.c").read_text(encoding="utf-8")
    for function, calls in (("eff_infer_calls", program.infer), ("eff_learn_calls", program.learn)):
        body = text.split(f"void {function}(void)\n{{\n")[1].split("\n}\n")[0]
        assert [line.split("(")[0].strip() for line in body.splitlines() if line.startswith("    eff_")] == [c.function for c in calls]
    assert max(map(len, text.splitlines())) <= WIDEST_LINE + 8


@pytest.mark.parametrize("file", ["app.c", "app.h", "model.h"])
def test_a_folder_of_other_c_is_refused_and_left_alone(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text("int mine;\n", encoding="utf-8")
    with pytest.raises(
        BadInput, match=rf"^output folder .*: got other C files \('{file}'\); allowed: an empty folder or an earlier export"
    ):
        write_c(deployed(None, "float32").program, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    with pytest.raises(BadInput, match=r"^output folder: got .*out; allowed: a folder or a new name$"):
        write_c(deployed(None, "float32").program, tmp_path / "out")


def test_an_earlier_export_is_replaced_and_other_files_stay(tmp_path: Path) -> None:
    write_c(deployed("ff", "float32").program, tmp_path)
    for name in ("app.c", "app.h", "notes.txt"):
        (tmp_path / name).write_text("", encoding="utf-8")
    write_c(deployed(None, "float32").program, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("app.c", "app.h", "notes.txt", "edgeff.h", "eff_kernels.h", "example", "model.c", "model.h"),
        *("eff_dense_x4.c", "eff_argmax.c", "eff_softmax.c"),
    }


def test_the_example_that_version_0_1_put_among_the_sources_goes_and_a_main_of_the_users_own_stays(tmp_path: Path) -> None:
    write_c(deployed(None, "float32").program, tmp_path)
    (tmp_path / "example" / "main.c").rename(tmp_path / "main.c")
    write_c(deployed(None, "float32").program, tmp_path)
    assert not (tmp_path / "main.c").exists()
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n", encoding="utf-8")
    write_c(deployed(None, "float32").program, tmp_path)
    assert (tmp_path / "main.c").exists()


@pytest.mark.parametrize(
    ("x", "labels"),
    [
        (np.zeros((0, 12), np.float32), np.zeros(0)),
        (np.zeros((2, 12), np.float32), np.zeros(1)),
        (np.zeros((2, 12), np.int8), np.zeros(2)),
        (samples(2)[:, :3], np.zeros(2)),
        (samples(2), np.array([0, 4])),
    ],
)
def test_samples_that_do_not_fit_leave_nothing_behind(x: Array, labels: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        write_c(deployed("bp", "float32").program, tmp_path / "out", samples=x, labels=labels)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module", params=["float32", "int16", "int8"])
def learned(request: pytest.FixtureRequest) -> tuple[Deployment, HostTarget]:
    """A program that has learned five samples as C."""
    deployment = deployed("pepita", request.param)
    host = HostTarget(deployment.program)
    host.learn_many(deployment.inputs(samples(5)), np.arange(5) % 4)
    return deployment, host


def test_what_is_saved_is_taken_back(learned: tuple[Deployment, HostTarget]) -> None:
    deployment, host = learned
    program = deployment.program
    save, state = host.save(), host.arena()[: host.memory.persistent_bytes]
    assert len(save) == host.memory.persistent_bytes + OVERHEAD_BYTES
    values = {tensor.name: host.tensor(tensor.name) for tensor in program.by_role("variable", "state")}
    assert save == saved(program, host.memory, values)
    host.init()
    assert (host.arena()[: len(state)] != state).any()
    host.restore(save)
    assert (host.arena()[: len(state)] == state).all()


def bound(rule: str, numeric: Numeric = "int8", network: Network | None = None, **options: Any) -> int:
    """The number that binds a state to the program of the small network, or another."""
    program = deployed(rule, numeric, network, **options).program
    return binding(program, plan(program))


def test_the_state_of_another_model_is_refused() -> None:
    other = small()
    other["dense_1"].params["weight"][:] *= 2
    numbers = [
        bound("bp"),
        bound("dfa"),
        bound("bp", "int16"),
        bound("bp", network=small("12-8-5")),
        bound("bp", network=small(bias=True)),
        bound("bp", network=other),
        bound("pepita"),
        bound("pepita", seed=7),
        bound("pepita", changes={"feedback": "stored"}),
        bound("pepita", changes={"feedback": "stored"}, seed=7),
    ]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("numeric", ["float32", "int16", "int8"])
def test_a_state_survives_a_new_rate_seed_and_name(numeric: Numeric) -> None:
    network = small()
    names = {layer.name: f"other_{layer.name}" for layer in network}
    layers = tuple(replace(x, name=names[x.name], inputs=tuple(names.get(i, i) for i in x.inputs)) for x in network)
    renamed = Network("another name", network.input_shape, layers)
    same = [bound("bp", numeric), bound("bp", numeric, changes={"lr": 0.5}), bound("bp", numeric, seed=7), bound("bp", numeric, renamed)]
    assert len(set(same)) == 1


@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_a_head_learned_on_one_backbone_is_refused_by_another_of_the_same_shape(numeric: Numeric) -> None:
    first, second = small("12-8-8-4"), small("12-8-8-4")
    second["dense_1"].params["weight"][:] = np.roll(second["dense_1"].params["weight"], 1, axis=0)
    old, new = (HostTarget(deployed("frozen:dense_1,bp", numeric, net).program) for net in (first, second))
    state = new.arena()
    with pytest.raises(BadInput, match=r"^saved state: got the state of another model"):
        new.restore(old.save())
    assert (new.arena() == state).all()


def test_c_and_twin_refuse_the_same_labels(learned: tuple[Deployment, HostTarget]) -> None:
    deployment, host = learned
    state = host.arena()
    for label in (-1, 4):
        with pytest.raises(BadInput, match=r"^labels: got"):
            host.learn(deployment.inputs(samples(1)), label)
        assert host._c.eff_learn(label) == -1
    assert (host.arena() == state).all()


def test_a_program_for_inference_neither_learns_nor_saves() -> None:
    deployment = deployed(None, "int8")
    host, x = HostTarget(deployment.program), deployment.inputs(samples(3))
    twin = Interpreter(deployment.program)
    assert host.predict_many(x)[0].tolist() == [twin.predict(sample) for sample in x]
    for refused in (lambda: host.learn(x[0]), host.save, lambda: host.restore(b"")):
        with pytest.raises(BadInput, match=r"^learning with '12-8-4': got a program for inference only"):
            refused()


def test_kernels_bring_what_they_call() -> None:
    forward = registry.kernels["eff_normalise_f32"]
    assert set(kernel_files([forward.source])) == {"eff_normalise.c"}
    assert set(kernel_files([registry.kernels["eff_dense_i8"].source])) == {"eff_dense.c"}


def test_two_kernel_files_of_one_name_are_refused(tmp_path: Path) -> None:
    dense = registry.kernels["eff_dense_f32"]
    shutil.copyfile(dense.source, tmp_path / "dense.c")
    other = Kernel("other", tmp_path / "dense.c", dense.params, dense.run, dense.macs)
    with pytest.raises(BadInput, match=r"^kernel file eff_dense\.c: got \S*dense\S*\.c and \S*dense\S*\.c; allowed: one file of that name"):
        kernel_files([dense.source, other.source])


PLUGIN = {
    "negate.py": '''
from typing import Annotated
from edgeff.ir import Array
from edgeff.kernels import In, Out, kernel
from edgeff.kernels.records import Size

@kernel()
def eff_negate_f32(y: Annotated[Array, Out("float", "n")], x: Annotated[Array, In("float", "n")], n: Size) -> None:
    """y = exp(-x)."""
    from edgeff.kernels.arithmetic import exp_f32
    y[:] = exp_f32(-x)
''',
    "negate.h": "#define NEGATED(v) (-(v))\n",
    "negate.c": """#include "edgeff.h"
#include "negate.h"

void eff_negate_f32(float *y, const float *x, int32_t n)
{
    for (int32_t k = 0; k < n; ++k) {
        y[k] = eff_exp_f32(NEGATED(x[k]));
    }
}
""",
    "run.py": """
import sys
from pathlib import Path
from edgeff.codegen.folder import write_c
from edgeff.program.lower import Builder
from small_networks import small

build = Builder(small(), None, None, 0, "class", True)
y = build.activation("y", (12,))
build.call("eff_negate_f32", [y], [build.x], {"n": 12})
write_c(build.program(y, classes=True), Path(sys.argv[1]))
""",
}


def test_a_kernel_from_outside_comes_with_its_header(tmp_path: Path) -> None:
    for name, text in PLUGIN.items():
        folder = tmp_path / ("scripts" if name == "run.py" else "plugins")
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109
    environment = os.environ | {"EDGEFF_PLUGIN_DIR": str(tmp_path / "plugins"), "PYTHONPATH": path}
    command = [sys.executable, str(tmp_path / "scripts" / "run.py"), str(tmp_path / "out")]
    subprocess.run(command, check=True, timeout=60, env=environment)
    assert {"eff_negate.c", "negate.h", "eff_softmax.c"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert compiled(tmp_path / "out", *STRICT).splitlines()[-1] == LAST_LINE
