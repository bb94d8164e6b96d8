"""The whole workflow on the embedded default, in under a minute and without a network: digits, 64-32-10, int8, an emulated Cortex-M4F.

For every rule: trained in float32 on the host, quantised, exported to ONNX, TFLite and C, built into a firmware whose memory must equal
the plan's, and learned in int8 from fresh weights on the emulated core. Each rule's artefacts go into its own folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np

from edgeff import registry
from edgeff.bench import Configuration, run
from edgeff.bench.demo_convolutions import NETWORK as CONVOLUTIONAL
from edgeff.bench.demo_convolutions import WAYS, way
from edgeff.device.simulate import Progress, quiet
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, Unsupported
from edgeff.formats.onnx.writer import write_onnx
from edgeff.formats.tflite.writer import write_tflite
from edgeff.ir import Headroom, Network, Trace
from edgeff.networks import structure
from edgeff.program.deploy import deploy
from edgeff.tasks import Data
from edgeff.train.loop import accuracy, train

TASK, NETWORK, BOARD = "digits", "64-32-10", "nucleo_l4r5zi"
EPOCHS = 40
RULES = ("bp", "dfa", "ff", "frozen", "mempepita", "pepita")
"""A representative few, with the baseline and the control; ``edgeff bench rules`` compares all."""


def demo(
    out: Path,
    *,
    seed: int = 0,
    only: Collection[str] = (),
    workers: int = 2,
    progress: Progress = quiet,
    command: str = "edgeff demo",
) -> list[Trace]:
    """One trace per rule, or per rule of ``only``, in the order of ``RULES``; then those of a convolutional network.

    Those are of ``edgeff.bench.demo_convolutions``. Artefacts in ``out/<rule>``. ``workers`` rules at a time, each in its own process.

    Raises BadInput for a rule that is not in the demo, CheckFailed if any two executions differ in a bit.
    """
    if unknown := sorted({*only} - {*RULES, *WAYS}):
        raise BadInput("rule of the demo", got=", ".join(map(repr, unknown)), allowed=", ".join(dict.fromkeys((*RULES, *WAYS))))
    rules, ways = ([name for name in names if not only or name in only] for names in (RULES, WAYS))
    names = [*((NETWORK, rule) for rule in rules), *((CONVOLUTIONAL, name) for name in ways)]
    progress("training, building and learning with every rule", 0, len(names))
    traces: dict[tuple[str, str], Trace] = {}
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
    jobs = [joblib.delayed(way)(name, seed, BOARD, TASK) for name in ways]  # the longest first
    jobs += [joblib.delayed(one_rule)(rule, seed, out, command) for rule in rules]
    for trace in parallel(jobs):
        traces[trace.network, trace.rule] = trace
        progress(f"{trace.rule} learned", len(traces), len(names))
    return [traces[name] for name in names]


def one_rule(rule: str, seed: int, out: Path, command: str) -> Trace:
    """The whole workflow for one rule."""
    data: Data = registry.tasks[TASK].load(seed)
    folder = out / rule
    folder.mkdir(parents=True, exist_ok=True)
    floating, quantised = host_half(data, rule, seed, folder)
    trace = run(Configuration(TASK, NETWORK, rule, "int8", BOARD, seed, EPOCHS, core_samples=len(data.x_train)), folder, command=command)
    accuracies = dict(trace.accuracy) | {"float": floating, "quantized": quantised}
    return replace(trace, accuracy=accuracies, artifacts=artifacts(folder, out))


def host_half(data: Data, rule: str, seed: int, folder: Path) -> tuple[float, float]:
    """Trains, quantises and exports one rule's network; returns the test accuracy in float32 and in int8 (by the generated C)."""
    trained = train(data, structure(NETWORK), rule, None, seed, task=TASK)
    deployment = deploy(trained.network, data.x_train, rule=rule, numeric="int8", seed=seed, headroom=Headroom())
    export(trained.network, folder, "model")
    export(deployment.network, folder, "model.int8")
    best, _ = HostTarget(deployment.program).predict_many(deployment.inputs(data.x_test))
    return accuracy(trained.scores(data.x_test), data.y_test), float(np.mean(best == data.y_test))


def export(network: Network, folder: Path, stem: str) -> None:
    """Writes ``stem.onnx`` and ``stem.tflite``; a network without an integer form in TFLite gets only the ONNX file."""
    write_onnx(network, folder / f"{stem}.onnx")
    try:
        write_tflite(network, folder / f"{stem}.tflite")
    except Unsupported:
        (folder / f"{stem}.tflite").unlink(missing_ok=True)


def artifacts(folder: Path, out: Path) -> Mapping[str, Mapping[str, str]]:
    """The models and the ELF in ``folder`` by name: their paths below ``out`` and their SHA-256."""
    files = {}
    for path in (*sorted(folder.glob("model*.onnx")), *sorted(folder.glob("model*.tflite")), *sorted(folder.rglob("*.elf"))):
        files[path.name] = {"path": path.relative_to(out).as_posix(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return files
