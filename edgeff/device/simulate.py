"""A deployment on an emulated board: built, checked, counted, and learning from samples the host feeds it.

The ELF's memory is checked against the plan, and instructions are counted call by call. Whole epochs run as the same C on the host, which
the emulated core matches to the bit; ``agree_on_core`` proves it on the first steps of every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeff import registry
from edgeff.codegen.folder import Source, write_c
from edgeff.device.cores import core_of
from edgeff.device.firmware import Firmware, build, load_templates
from edgeff.device.mailbox import FirmwareTarget, load_target
from edgeff.device.profile import Profile
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, CheckFailed, DoesNotFit, Unsupported
from edgeff.ir import Array, Board, Call, LineCost, Memory, Program, Trace
from edgeff.program.cost import call_costs, weight_bytes
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.plan import guard_bytes, plan
from edgeff.program.select import passed_over, select
from edgeff.tasks import Data

Progress = Callable[[str, int, int], None]
PROGRESS_EVERY = 20
COUNTING_LIMIT_S = 3600.0
"""Wall time after which a profile is given up: a convolutional network in soft float takes minutes."""


def quiet(_what: str, _done: int, _of: int) -> None:
    """A progress callback that shows nothing."""


def fits(program: Program, board: Board, template: str = "bare_metal") -> int:
    """The number of bytes of RAM missing on the board; 0 or less if the program fits.

    Static RAM and the template's stack are counted, before any build.
    """
    templates = load_templates()
    if template not in templates:
        raise BadInput("unknown firmware template", got=repr(template), allowed=", ".join(templates))
    frame = templates[template]
    chosen = select(program, core_of(board).features)
    beside = guard_bytes(chosen) + frame.beside_arena(input_bytes(program)) + frame.stack_bytes
    return plan(chosen).arena_bytes + beside - board.ram_bytes


def input_bytes(program: Program, model_name: str = "") -> int:
    """The bytes of a program's first input, the one that firmware is given; of the model ``ad01`` in float32, as MLPerf Tiny sends it.

    Raises BadInput for an ``ad01`` that does not give its input again.
    """
    tensor = program.tensors[program.input]
    if model_name != "ad01":
        return tensor.size_bytes
    if program.tensors[program.output].elements != tensor.elements:
        got, allowed = "a model whose outputs are not as many as its inputs", "an autoencoder, or another name"
        raise BadInput("model name ad01", got=got, allowed=allowed)
    return 4 * tensor.elements


def rules_that_fit(deployment: Deployment, board: Board, template: str = "bare_metal") -> list[str]:
    """The other rules with which the deployment's network could learn in the board's RAM."""
    found = []
    mixed = len(deployment.network.numerics) > 1
    below = deployment.program.rule.rpartition(",")[0] if mixed else ""  # the groups of number formats are kept
    for rule in registry.rules:
        name = f"{below},{rule}" if below else rule
        if name != deployment.program.rule:
            try:
                other = deploy(deployment.network, rule=name, target=deployment.target, replay=deployment.replay)
            except Unsupported:
                continue
            if fits(other.program, board, template) <= 0:
                found.append(name)
    return found


def require_fit(deployment: Deployment, board: Board, template: str = "bare_metal") -> None:
    """Raises DoesNotFit, with the bytes missing and the rules that would fit, if the program's RAM exceeds the board's."""
    missing = fits(deployment.program, board, template)
    if missing <= 0:
        return
    rule, advice = deployment.program.rule, "choose a smaller network, int8 or another board"
    if rule:
        others = rules_that_fit(deployment, board, template)
        advice = f"rules that would fit: {', '.join(others)}" if others else f"no rule would fit: {advice}"
    raise DoesNotFit(
        f"{deployment.program.name} with {rule or 'inference only'} on {board.name}",
        got=f"{missing:,} bytes of RAM too few",
        next_step=advice,
    )


def build_project(
    deployment: Deployment,
    board: Board,
    out: Path,
    *,
    template: str = "bare_metal",
    toolchain: Any = None,
    samples: tuple[Array, Array] | None = None,
    command: str = "edgeff",
    model_name: str = "model",
) -> tuple[Firmware, Source]:
    """The firmware project of a deployment in ``out``, built, with the ELF's memory checked against the plan.

    ``out/generated`` holds the C, ``out/firmware`` the project; ``model_name`` is what a firmware that speaks calls the model.
    Raises: DoesNotFit before building; CheckFailed if the ELF is not what the plan predicted, byte for byte.
    """
    require_fit(deployment, board, template)
    input_bytes(deployment.program, model_name)
    x, labels = samples if samples is not None else (None, None)
    source = write_c(deployment.program, out / "generated", samples=x, labels=labels, features=core_of(board).features, command=command)
    firmware = build(source.folder, board, out / "firmware", toolchain=toolchain, template=template, model_name=model_name)
    beside = firmware.template.beside_arena(input_bytes(deployment.program, model_name))
    predicted = {
        "arena": (source.memory.arena_bytes, firmware.arena_bytes),
        "static RAM": (source.memory.arena_bytes + source.guard_bytes + beside, firmware.static_ram_bytes),
        "constants": (source.memory.flash_bytes, model_constants(firmware)),
    }
    for what, (planned, measured) in predicted.items():
        if planned != measured:
            raise CheckFailed(
                f"{what} of {deployment.program.name} on {board.name}",
                got=f"{measured:,} bytes in the ELF",
                allowed=f"the planned {planned:,}",
            )
    return firmware, source


def model_constants(firmware: Firmware) -> int:
    """The bytes of the model's constants by their symbols in the ELF."""
    return sum(size for name, size in firmware.symbol_bytes.items() if name.startswith("eff_k_"))


def memory_of(firmware: Firmware, program: Program, stack_bytes: int | None) -> Memory:
    """The memory figures of a built firmware."""
    return Memory(firmware.flash_bytes, weight_bytes(program), firmware.arena_bytes, firmware.static_ram_bytes, stack_bytes)


def _measured(program: Program, calls: Sequence[Call], profile: Profile) -> LineCost:
    static = call_costs(program, calls)
    rows = tuple(replace(s, instructions=c.instructions, cycles=c.cycles) for s, c in zip(static, profile.calls, strict=True))
    return LineCost(profile.cost(sum(s.macs for s in static)), rows)


def profile(
    deployment: Deployment,
    board: Board,
    firmware: Firmware,
    sample: Array,
    label: int = 0,
    task: str = "",
    seed: int = 0,
    target_name: str | None = None,
) -> Trace:
    """Counts one run of each line on the emulated core, by call and by function.

    Instructions are exact; cycles are modelled, and unknown on a core without a cycle model. The functions are those of the learning step,
    if there is one, else those of an inference. ``target_name`` is by default the first target that the board lists.
    """
    program = deployment.program
    target = load_target(firmware, board, target_name, time_limit_s=COUNTING_LIMIT_S)
    profiles: dict[str, Profile] = {}
    first, *more = program.parts(sample)
    offsets = plan(select(program, core_of(board).features)).offsets if more else {}
    for line in program.lines.values():
        target.write_input(first)
        for tensor, part in zip(program.inputs[1:], more, strict=True):
            target.write_arena(offsets[tensor.name], part)
        profiles[line.name] = target.profile(line.name, line.calls, label=label)
    return Trace(
        task=task,
        network=program.name,
        rule=program.rule or "none",
        numeric=program.numeric,
        board=board.name,
        target=target.name,
        seed=seed,
        memory=memory_of(firmware, program, target.stack_bytes),
        lines={name: _measured(program, program.lines[name].calls, line) for name, line in profiles.items()},
        functions=dict(profiles["learn" if "learn" in profiles else "infer"].functions),
        remarks=passed_over(program, core_of(board).features),
    )


def mean_squared_error(deployment: Deployment, scores: Array, values: Array) -> float:
    """The mean squared error of a program's scores (n, outputs) against values, in the units of the values."""
    quant = deployment.program.tensors[deployment.program.output].quant
    outputs = scores.astype(np.float64) if quant is None else (scores.astype(np.float64) - quant.zero_point) * quant.scale[0]
    return float(((outputs - values) ** 2).mean())


@dataclass(frozen=True)
class Learned:
    """The result of learning on a device: accuracy before and after, and the curve as (samples seen, accuracy) pairs."""

    before: float
    after: float
    curve: tuple[tuple[int, float], ...]


def learn_on_host(
    host: HostTarget, deployment: Deployment, data: Data, epochs: int, seed: int, points: int = 20, progress: Progress = quiet
) -> Learned:
    """Epochs of exact device learning with the C on this machine; the test set is read for the curve, never for a decision."""
    x, x_test = deployment.inputs(data.x_train), deployment.inputs(data.x_test)
    labels = data.y_train.astype(np.int32)
    rng = np.random.default_rng([seed, 3])

    def score() -> float:
        return float(np.mean(host.predict_many(x_test)[0] == data.y_test))

    host.init()
    curve = [(0, score())]
    every = max(1, epochs // points)
    for epoch in range(1, epochs + 1):
        host.learn_many(x, labels, rng.permutation(len(x)))
        if epoch % every == 0 or epoch == epochs:
            curve.append((epoch * len(x), score()))
        progress("learning", epoch, epochs)
    return Learned(curve[0][1], curve[-1][1], tuple(curve))


def learn_on_core(core: FirmwareTarget, x: Array, labels: Array, order: Array, progress: Progress = quiet) -> None:
    """Feeds the core the samples of x in ``order``, one learning step each, with classes (n,) or values (n, outputs) of its format."""
    for count, index in enumerate(order, 1):
        core.write_input(x[index])
        core.learn(labels[index])
        if count % PROGRESS_EVERY == 0 or count == len(order):
            progress("learning on the core", count, len(order))


def predict_on_core(core: FirmwareTarget, x: Array, stage: str, progress: Progress = quiet) -> Array:
    """The classes (n,) that the core predicts for the samples x (n, inputs)."""
    classes = np.empty(len(x), np.int64)
    for index, sample in enumerate(x):
        core.write_input(sample)
        classes[index] = core.predict()
        if (index + 1) % PROGRESS_EVERY == 0 or index + 1 == len(x):
            progress(stage, index + 1, len(x))
    return classes


def values_on_core(core: FirmwareTarget, x: Array, stage: str, progress: Progress = quiet) -> Array:
    """The scores (n, outputs) that the core computes for the samples x (n, inputs)."""
    rows = []
    for index, sample in enumerate(x):
        core.write_input(sample)
        core.predict()
        rows.append(core.output())
        if (index + 1) % PROGRESS_EVERY == 0 or index + 1 == len(x):
            progress(stage, index + 1, len(x))
    return np.array(rows)


def simulate(
    deployment: Deployment,
    data: Data,
    board: Board,
    firmware: Firmware,
    *,
    samples: int = 1437,
    seed: int = 0,
    task: str = "",
    target_name: str | None = None,
    progress: Progress = quiet,
) -> Trace:
    """Learning on the emulated core: it is fed ``samples`` training samples in a seeded order.

    It is evaluated on the whole test set before and after. The trace has the exact cost of one step and one inference (profiled on a
    separate core) beside the accuracies, or the mean squared errors where values are learned.
    """
    values = deployment.target == "value"
    truths = deployment.targets(data.y_train) if values else data.y_train
    x, x_test = deployment.inputs(data.x_train), deployment.inputs(data.x_test)
    rng = np.random.default_rng([seed, 3])
    order = np.concatenate([rng.permutation(len(x)) for _ in range(-(-samples // len(x)))])[:samples] if samples else np.empty(0, int)
    core = load_target(firmware, board, target_name, time_limit_s=COUNTING_LIMIT_S)

    def quality(stage: str) -> float:
        if values:
            return mean_squared_error(deployment, values_on_core(core, x_test, stage, progress), data.y_test)
        return float(np.mean(predict_on_core(core, x_test, stage, progress) == data.y_test))

    before = quality("evaluating before")
    after = None
    if deployment.program.learn:
        learn_on_core(core, x, truths, order, progress)
        after = quality("evaluating after")
    trace = profile(deployment, board, firmware, x_test[0], 0 if values else int(data.y_test[0]), task, seed, target_name)
    if values:
        return replace(trace, mse={"before": before} | ({} if after is None else {"after": after}))
    curve = ((0, before), (len(order), after)) if after is not None else ()
    return replace(trace, accuracy={"float": None, "quantized": None, "before": before, "after": after}, curve=curve)


def agree_on_core(
    deployment: Deployment,
    host: HostTarget,
    firmware: Firmware,
    board: Board,
    data: Data,
    samples: int,
    seed: int,
    progress: Progress = quiet,
) -> FirmwareTarget:
    """The emulated core after ``samples`` learning steps. Raises CheckFailed if its state then differs from the host's in any byte."""
    x = deployment.inputs(data.x_train)
    order = np.random.default_rng([seed, 3]).permutation(len(x))[:samples]
    core = load_target(firmware, board, time_limit_s=COUNTING_LIMIT_S)
    learn_on_core(core, x, data.y_train, order, progress)
    host.init()
    host.learn_many(x, data.y_train, order)
    size = host.memory.persistent_bytes
    here, there = host.arena()[:size], np.frombuffer(core.read_arena()[:size], np.uint8)
    if differing := int(np.count_nonzero(here != there)):
        raise CheckFailed(
            f"{deployment.program.rule} on {board.name}",
            got=f"{differing} of {size} bytes that differ from the host's C after {samples} steps",
            allowed="0",
        )
    return core
