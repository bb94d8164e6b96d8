"""Instructions of inference and of a learning step by others' code on the emulated Cortex-M4F on which speed.py counts edgeff's.

float32, batch 1, gradient descent without momentum, the networks of speed.py, without biases but where a peer always has them (AIfES,
emlearn: zeros). ``naive`` is ``naive.c`` of this folder: plain loops. The others come from the user, nothing of theirs is in this
repository:

``EMLEARN=path``        emlearn: pip install --no-deps --target path emlearn
``ONNX2C=path``         github.com/kraiskil/onnx2c: git clone --recursive, built in its folder ``build`` as its README says
``AIFES=path``          github.com/Fraunhofer-IMS/AIfES_for_Arduino
``PULP_TRAINLIB=path``  github.com/pulp-platform/pulp-trainlib, its branch pulp-trainlib-stm32

Each fills the firmware template ``bare_metal`` by ``peers/NAME.c`` in the place of the generated model. Built by gcc with newlib as its
users build it, at -O2 and at -O3 -funroll-loops, and at that without fused multiply and add, which takes more instructions and mostly fewer
cycles; of PULP-TrainLib the best of its products of matrices. One call is counted. Outputs and new weights must be those of NumPy.
``EMLEARN=.. ONNX2C=.. AIFES=.. PULP_TRAINLIB=.. python benchmarks/peers.py`` -> ``benchmarks/results/peers.json``, in ten minutes.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from checkouts import checkout, version
from engines import WithLibrary, folder_of
from results import collect
from speed import FC_AE, TARGETS

from edgeff.device.boards import load_board
from edgeff.device.firmware import measure as measured
from edgeff.device.firmware import write_project
from edgeff.device.mailbox import FirmwareTarget, load_target
from edgeff.device.profile import Profile, profile_edges
from edgeff.errors import CheckFailed
from edgeff.formats.onnx.writer import write_onnx
from edgeff.ir import Array, Call, Network
from edgeff.networks import initialised, structure

BOARD, LABEL, RATE = "mps2_an386", 3, 0.05
LEVELS = ("-O2", "-O3 -funroll-loops", "-O3 -funroll-loops -ffp-contract=off")
CALLS = {
    "naive": ("inference", "bp", "pepita"),
    "onnx2c": ("inference",),
    "emlearn": ("inference",),
    "trainlib": ("bp",),
    "aifes": ("bp",),
}
"""What is counted of a peer."""
PRODUCTS = 12
"""The products of matrices of PULP-TrainLib."""
TOLERANCE = 1e-4
"""Of the largest output or change of a weight: products are fused, sums in another order, and emlearn writes six decimals of a weight."""
COARSE = {"aifes": 1e-2}
"""AIfES takes an approximate exponential in its softmax."""
FOLDER = Path(__file__).parent
NEXT_STEP = "see the first lines of peers.py"


# ---------------------------------------------------------------- what is expected, in float64


def forward(weights: Sequence[Array], x: Array, softmax: bool) -> list[Array]:
    """The sample and the output of each layer (outputs, inputs): ReLU, and after the last one a softmax or nothing."""
    h = [x.astype(np.float64)]
    for layer, w in enumerate(weights):
        z = w.astype(np.float64) @ h[-1]
        h.append(np.maximum(z, 0) if layer < len(weights) - 1 else z)
    if softmax:
        exps = np.exp(h[-1] - h[-1].max())
        h[-1] = exps / exps.sum()
    return h


def bp(weights: Sequence[Array], x: Array, target: Array, softmax: bool, rate: float = RATE) -> list[Array]:
    """The weights after a step on the cross-entropy, or on half the squared error."""
    h = forward(weights, x, softmax)
    delta, new = h[-1] - target, []
    for w, below in zip(reversed(weights), reversed(h[:-1]), strict=True):
        new.append(w - rate * np.outer(delta, below))
        delta = (w.T @ delta) * (below > 0)
    return new[::-1]


def pepita(weights: Sequence[Array], feedback: Array, x: Array, target: Array, softmax: bool, rate: float = RATE) -> list[Array]:
    """The weights after a step with the feedback matrix (inputs, outputs) (Dellaferrera & Kreiman, 2022, equations 1 to 4)."""
    clean = forward(weights, x, softmax)
    h = forward(weights, x + feedback @ (clean[-1] - target), softmax)
    deltas = [*(a - b for a, b in zip(clean[1:-1], h[1:-1], strict=True)), h[-1] - target]
    return [w - rate * np.outer(delta, below) for w, delta, below in zip(weights, deltas, h, strict=False)]


# ---------------------------------------------------------------- a peer's firmware


def header(widths: Sequence[int], softmax: bool) -> str:
    """network.h: the sizes by which every peer is compiled."""
    numbers = {
        "LAYERS": len(widths) - 1,
        "WIDTHS": f"{{{', '.join(map(str, widths))}}}",
        "INPUTS": widths[0],
        "OUTPUTS": widths[-1],
        "WEIGHTS": sum(a * b for a, b in pairwise(widths)),
        "LARGEST": max(a * b for a, b in pairwise(widths)),
        "ACTIVATIONS": sum(widths[1:]),
        "WIDEST": max(widths),
        "SOFTMAX": int(softmax),
        "LEARNING_RATE": f"{RATE}f",
    }
    return "".join(f"#define {name} {value}\n" for name, value in numbers.items())


def theirs(peer: str, call: str, network: Network, model: Path) -> tuple[str | None, list[Path], list[str]]:
    """The version, the sources and the options of a peer; what it generates is written to ``model``."""
    weights = [layer.params["weight"] for layer in network.layers if layer.params]
    if peer == "onnx2c":
        folder = checkout("ONNX2C", "build/onnx2c", NEXT_STEP)
        write_onnx(network, model / "peer.onnx")
        done = subprocess.run([folder / "build" / "onnx2c", model / "peer.onnx"], check=True, stdout=subprocess.PIPE)
        (model / "generated.c").write_bytes(done.stdout)
        return version(folder), [model / "generated.c"], []
    if peer == "emlearn":
        folder = checkout("EMLEARN", "emlearn/eml_net.h", NEXT_STEP)
        sys.path.append(str(folder))
        write = importlib.import_module("emlearn.net").c_generate_net_loadable
        last = "softmax" if network.layers[-1].name == "softmax" else "identity"
        biases = [np.zeros(len(w)) for w in weights]
        text = write([*["relu"] * (len(weights) - 1), last], [w.T for w in weights], biases, "peer")
        (model / "generated.h").write_text(text, encoding="utf-8")
        return (folder / "emlearn" / "VERSION.txt").read_text(encoding="utf-8").strip(), [], [f"-I{folder / 'emlearn'}"]
    if peer in ("aifes", "trainlib"):
        folder = folder_of(peer)
        include, sources = (folder / "src",) * 2 if peer == "aifes" else (folder / "lib" / "include", folder / "lib" / "sources")
        files = [path for path in sorted(sources.rglob("*.c")) if not {"avr_pgm", "cmsis", "CMSIS"} & set(path.parts)]
        return version(folder), files, [f"-I{include}", "-DOPTIMIZE"]
    for name in ("naive.c", "naive.h"):
        (model / f"plain_{name}" if name == "naive.c" else model / name).write_bytes((FOLDER / name).read_bytes())
    return None, [model / "plain_naive.c"], ["-DPEPITA"] if call == "pepita" else []


def firmware(peer: str, call: str, network: Network, level: Sequence[str], out: Path) -> tuple[FirmwareTarget, str | None, str]:
    """The target with a peer's firmware, the peer's version and the compiler's."""
    board = load_board(BOARD)
    source = out / "source"
    source.mkdir(parents=True)
    for name, file in (("model.h", "model.h"), ("model.c", "model.c"), ("peer.c", f"{peer}.c")):
        (source / name).write_bytes((FOLDER / "peers" / file).read_bytes())
    widths = [int(width) for width in network.name.split("-")]
    (source / "network.h").write_text(header(widths, network.layers[-1].name == "softmax"), encoding="utf-8")
    project = write_project(source, board, out / "firmware", WithLibrary())
    told, files, options = theirs(peer, call, network, project / "model")
    # newlib has memcpy and memset, and wants to know where its heap would begin; engines.py turns strict aliasing off.
    ours = [path for path in (*project.glob("*.c"), *(project / "model").glob("*.c")) if path.name != "memory.c"]
    toolchain = WithLibrary(*level, "-fstrict-aliasing", *options, "-Wl,--defsym=end=eff_free_start", "-w")
    elf = project / "firmware.elf"
    toolchain.link(sorted({*ours, *files}), project, board, project / "link.ld", elf)
    return load_target(measured(elf, board, toolchain.name)), told, toolchain.version()


# ---------------------------------------------------------------- counting


def counted(target: FirmwareTarget, line: str) -> Profile:
    """One call of a peer's function."""
    edges = replace(target.count(line), calls=1)
    call = Call("peer", (), (), {}, "peer")
    return profile_edges(line, edges, [call], target.firmware.functions, target.read, target.board, target.core)


def agrees(got: Array, expected: Array, start: Array | float = 0.0, tolerance: float = TOLERANCE) -> bool:
    """Whether values are those expected, in parts of the largest, or of the largest change from ``start``."""
    return float(np.abs(got - expected).max()) <= tolerance * float(np.abs(expected - start).max())


class Peer:
    """The firmware of a peer with the weights and the sample of speed.py, and what it must give."""

    def __init__(self, peer: str, call: str, network: Network, target: FirmwareTarget) -> None:
        self.weights = [layer.params["weight"].astype(np.float32) for layer in network.layers if layer.params]
        self.turned, self.tolerance = peer == "aifes", COARSE.get(peer, TOLERANCE)
        self.what, self.call, self.target = f"{call} by {peer} on {network.name}", call, target
        softmax = network.layers[-1].name == "softmax"
        rng = np.random.default_rng(0)
        self.x = rng.random(network.input_shape, np.float32)
        outputs = len(self.weights[-1])
        goal = np.eye(outputs, dtype=np.float32)[LABEL] if softmax else self.x
        self.feedback = (rng.choice([-1.0, 1.0], (self.x.size, outputs)) * 0.1 * np.sqrt(2 / self.x.size)).astype(np.float32)
        target.write_input(self.x)
        target.write("target", goal.astype(np.float32).tobytes())
        if call == "inference":
            self.expected = forward(self.weights, self.x, softmax)[-1]
        elif call == "bp":
            self.expected = self.flat(bp(self.weights, self.x, goal, softmax))
        else:
            target.write("feedback", self.feedback.tobytes())
            self.expected = self.flat(pepita(self.weights, self.feedback, self.x, goal, softmax))

    def flat(self, weights: Sequence[Array]) -> Array:
        """All weights in the order in which the peer has them: AIfES has (inputs, outputs)."""
        return np.concatenate([(w.T if self.turned else w).reshape(-1) for w in weights])

    def run(self) -> tuple[Profile, bool]:
        """The cost of one call from the initial weights, and whether it gives what NumPy gives."""
        start = self.flat(self.weights)
        self.target.write("eff_arena", start.tobytes())
        if self.call == "inference":
            profile = counted(self.target, "infer")
            got = np.frombuffer(self.target.read("output", 4 * self.expected.size), np.float32)
            return profile, agrees(got, self.expected)
        profile = counted(self.target, "learn")
        got = np.frombuffer(self.target.read("eff_arena", start.nbytes), np.float32)
        return profile, agrees(got, self.expected, start, self.tolerance)

    def cost(self) -> dict[str, Any]:
        """Of one call. Raises CheckFailed where it does not give what NumPy gives."""
        profile, right = self.run()
        if not right:
            raise CheckFailed(self.what, got="other numbers", allowed="those of NumPy")
        return {"instructions": profile.instructions, "cycles": profile.cycles}

    def choose_products(self) -> dict[str, Any]:
        """Leaves PULP-TrainLib with the product of matrices that takes the fewest instructions in each of its three places."""
        chosen = [0, 0, 0]

        def instructions(place: int, product: int) -> float:
            chosen[place] = product
            self.target.write("products", np.asarray(chosen, np.int32).tobytes())
            profile, right = self.run()
            return profile.instructions if right else np.inf

        for place in range(len(chosen)):
            costs = [instructions(place, product) for product in range(PRODUCTS)]
            instructions(place, int(np.argmin(costs)))
        return {"products": chosen}


def measure(network_name: str, peer: str, call: str) -> dict[str, Any]:
    """Instructions and modelled cycles of one call at each level of optimisation."""
    network = initialised(structure(network_name, softmax=network_name != FC_AE), 0)
    levels: dict[str, dict[str, Any]] = {}
    told: str | None = None
    compiler = ""
    for level in LEVELS:
        with tempfile.TemporaryDirectory(prefix="edgeff-peers-") as folder:
            target, told, compiler = firmware(peer, call, network, level.split(), Path(folder))
            one = Peer(peer, call, network, target)
            levels[level] = (one.choose_products() if peer == "trainlib" else {}) | one.cost()
    return {"version": told, "toolchain": compiler, "levels": levels}


def fewest(row: dict[str, Any], what: str = "instructions") -> int:
    """Of a row: the instructions, or the modelled cycles, at the level that takes the fewest."""
    return min(int(level[what]) for level in row["levels"].values())


if __name__ == "__main__":
    collect("peers", [(network, peer, call) for network in TARGETS for peer, calls in CALLS.items() for call in calls], measure)
