"""Compares every execution of a network with every other: how many values differ, by how much, and whether that is allowed.

The reference is the NumPy twins' result (``edgeff.Interpreter``). Always equal to the bit: the C on the host and the C on the emulated
cores, in their scores and in the outputs of every kernel call, and for int8 the scores of TFLite Micro. LiteRT's reference kernels
equal, to the bit, a NumPy twin of *their* arithmetic (``explain``), which explains where they differ from edgeff. ONNX Runtime rescales in
float: at most one step (LSB) per layer from the same inputs. For whole networks in LiteRT and ONNX Runtime differences are counted: after a
softmax one step of a logit can be many steps of a probability. Float networks in those libraries are held to a tolerance and never called
exact.

With a rule, learning steps too: the weights and all other state, after each step, equal to the bit in the twins, on the host and on the
emulated cores; the step as a graph in ONNX Runtime and in LiteRT, each time from the twins' state (``training_graph``); and the change of
each parameter compared with the rule's ``step``, which is independent of the program (``edgeff.verify.step``). A library that is not
installed, or cannot run the network, is listed as skipped. An emulated core runs as many of the samples as a budget of
multiply-accumulates allows, and its rows say for how many samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod
from typing import TypeVar

import numpy as np

from edgeff.errors import BadInput, DoesNotFit, EdgeffError, MissingTool, Unsupported
from edgeff.ir import Array, Board, Network, Program
from edgeff.networks import learned_target
from edgeff.ops import sample_shape
from edgeff.program.cost import call_costs
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.lower import Replay
from edgeff.rules import Rule, find_rule
from edgeff.verify.comparison import Comparison, Skipped, Verification, compare, compare_all
from edgeff.verify.executions import Emulated, Host, Results, outputs_of_calls, twin_results
from edgeff.verify.learning import compare_results, drawn_truths, learning
from edgeff.verify.libraries import TWIN, Party, Rows, float_parties, integer_parties
from edgeff.verify.step import compare_step, steps_for
from edgeff.verify.training_graph import GRAPHS, compare_training_graph

__all__ = ["BOARDS", "HOST", "STEPS", "TWIN", "Comparison", "Skipped", "Verification", "compare", "verify"]

BOARDS = ("nucleo_l4r5zi", "rpi_pico")
"""A Cortex-M4 with an FPU and a Cortex-M0+ without one: the default boards."""
STEPS = 20
HOST = "C on the host"
BLOCK_BYTES = 1 << 26
"""Samples are compared in blocks whose call outputs take no more than this."""
EMULATED_MACS = 1 << 26
"""The default work of an emulated core, in multiply-accumulates: a few seconds."""
SOFT_FLOAT = 16
"""The factor in instructions of a float32 multiply-accumulate on a core without an FPU."""

Progress = Callable[[str, int, int], None]
Execution = Host | Emulated
T = TypeVar("T")


def verify(
    network: Network,
    inputs: Array,
    *,
    board: Board | str | None = None,
    rule: str | None = None,
    steps: int = STEPS,
    seed: int = 0,
    emulated: int | None = None,
    replay: Replay | int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """The comparisons of the executions of ``network`` on ``inputs``. A forbidden difference does not raise an error here: see
    ``Verification.check``.

    Args:
        network: float32 or quantised.
        inputs: (n, *input shape), float32, or integers of the network's own input dtype.
        board: the board to emulate, or its name; by default each of BOARDS.
        rule: learns on the inputs in turn, with labels drawn by ``seed``; None for inference alone.
        steps: the number of learning steps.
        seed: of the labels and of the rule's own randomness.
        emulated: how many of the first samples run on an emulated core; by default as many as EMULATED_MACS allows, at least one.
        replay: a ring of samples that the rule learns from again; its lines are compared too.
        progress: is called as ``progress(execution, done, total)``.

    Raises:
        BadInput: for inputs that have the wrong shape or are not finite.
        DoesNotFit: if a named board is too small.
        EdgeffError: for anything that lowering refuses.
    """
    from edgeff.device.boards import load_board

    for what, count in (("learning steps", steps), ("samples on an emulated core", emulated)):
        if count is not None and count < 1:
            raise BadInput(what, got=count, allowed="1 or more")
    boards = [item if isinstance(item, Board) else load_board(item) for item in ([board] if board else BOARDS)]
    findings = _Findings(progress, boards_may_be_small=board is None)
    target = learned_target(network)
    deployment = deploy(network, seed=seed, target=target)
    program, x = deployment.program, _samples(deployment, inputs)
    blocks = _blocks(program, x)
    cores = {f"C on {item.name} (emulated {item.core})": item for item in boards}
    parties = [Party(HOST, lambda: _own(HOST, program, Host(program, traced=True)))]
    for name, item in cores.items():
        count = min(len(x), emulated or _emulated_samples(program, item))
        parties.append(Party(name, partial(_emulated, name, program, item), count))
    if len(network.numerics) > 1 and (network.symmetric or "float32" in network.numerics):
        findings.skipped.append(Skipped("other libraries", f"no file format holds {' and '.join(network.numerics)} in one network"))
    elif network.numerics == ("float32",):
        parties += float_parties(deployment, blocks[0])
    else:
        parties += integer_parties(deployment)
    findings.compare(program, blocks, parties)
    if rule is not None:
        learner = deploy(network, rule=rule, seed=seed, target=target, replay=replay)
        executions: dict[str, Callable[[Program], Execution]] = {HOST: Host}
        executions |= {name: partial(Emulated, board=item) for name, item in cores.items()}
        samples = _samples(learner, inputs)
        for name, rows in learning(learner, rule, samples, steps, seed, executions, findings.advance):
            findings.keep(findings.try_to(name, rows))
        for graph in GRAPHS:
            findings.keep(findings.try_to(graph, partial(_graph, learner, graph, samples, steps, seed, findings.advance)))
        plain = learner if replay is None else deploy(network, rule=rule, seed=seed, target=target)
        findings.keep(findings.try_to(f"step of {rule}", partial(_step, plain, find_rule(rule), samples, seed, findings.advance)))
    return Verification(tuple(findings.comparisons.values()), tuple(findings.skipped))


def _graph(
    learner: Deployment, name: str, samples: Array, steps: int, seed: int, advance: Callable[[str, int], Callable[[], None]]
) -> list[Comparison]:
    """The learning graph in a runtime, on the samples in turn with labels drawn by ``seed``."""
    labels = drawn_truths(learner.program, seed, steps)
    return compare_training_graph(learner, name, samples[np.arange(steps) % len(samples)], labels, advance(name, steps))


def _step(
    learner: Deployment, rule: Rule, samples: Array, seed: int, advance: Callable[[str, int], Callable[[], None]]
) -> list[Comparison]:
    """The changes of the parameters compared with the rule's own, on the samples in turn with labels drawn by ``seed``."""
    steps = steps_for(learner.program)
    labels = drawn_truths(learner.program, seed, len(samples))
    return compare_step(learner, rule, samples, labels, steps=steps, advance=advance(f"step of {rule.name}", steps))


class _Findings:
    """The results so far: rows by what they compare, and the skipped executions."""

    def __init__(self, progress: Progress | None, *, boards_may_be_small: bool) -> None:
        self.comparisons: dict[tuple[str, str, str], Comparison] = {}
        self.skipped: list[Skipped] = []
        self._progress = progress
        self._absences: tuple[type[EdgeffError], ...] = (MissingTool, Unsupported, *([DoesNotFit] if boards_may_be_small else []))

    def advance(self, what: str, total: int) -> Callable[[], None]:
        """The function that an execution calls after each of ``total`` samples; the start is reported at once."""
        done = -1

        def count() -> None:
            nonlocal done
            done += 1
            if self._progress:
                self._progress(what, done, total)

        count()
        return count

    def compare(self, program: Program, blocks: list[Array], parties: list[Party]) -> None:
        """The rows of every party over all blocks of samples, or over the first of them; skipped parties are listed with their reason."""
        total = sum(map(len, blocks))
        tell = {TWIN: self.advance(TWIN, total)}
        comparers: dict[str, Rows] = {}
        for party in parties:
            tell[party.name] = self.advance(party.name, party.samples or total)
            if (rows := self.try_to(party.name, party.make)) is not None:
                comparers[party.name] = rows
        start = 0
        for block in blocks:
            twin = twin_results(program, block, tell[TWIN])
            for party in parties:
                count = min(max((party.samples or total) - start, 0), len(block))
                if party.name not in comparers or not count:
                    continue
                rows = partial(comparers[party.name], block[:count], twin.first(count), tell[party.name])
                comparisons = self.try_to(party.name, rows)
                if comparisons is None:
                    del comparers[party.name]
                note = f"the first {party.samples} of {total} samples" if party.samples and party.samples < total else ""
                self.keep(comparisons, note)
            start += len(block)

    def keep(self, rows: list[Comparison] | None, note: str = "") -> None:
        """Adds comparisons, merging each with an earlier one of the same values."""
        for row in rows or []:
            key = row.a, row.b, row.what
            noted = replace(row, note="; ".join(filter(None, (note, row.note))))
            self.comparisons[key] = self.comparisons[key].with_more(noted) if key in self.comparisons else noted

    def try_to(self, name: str, run: Callable[[], T]) -> T | None:
        """The result of ``run``; None if the execution is skipped, whose reason is recorded."""
        try:
            return run()
        except self._absences as error:
            self.skipped.append(Skipped(name, str(error)))
            return None


def _own(name: str, program: Program, execution: Execution) -> Rows:
    """One of edgeff's own executions, to the bit: scores, best classes, and the outputs of every call."""
    outputs = outputs_of_calls(program)

    def rows(x: Array, twin: Results, advance: Callable[[], None]) -> list[Comparison]:
        other = execution.results(x, advance)
        found = compare_results(TWIN, name, "", twin, other)
        pairs = zip(outputs, twin.calls, other.calls, strict=True)
        calls = [(f"layer {call.layer}, {call.kernel}", a, b) for (call, _), a, b in pairs]
        return [*found, compare_all(TWIN, name, f"outputs of each of {len(program.infer)} calls", calls)]

    return rows


def _emulated(name: str, program: Program, board: Board) -> Rows:
    return _own(name, program, Emulated(program, board, traced=True))


def _emulated_samples(program: Program, board: Board) -> int:
    """How many samples an emulated core runs."""
    soft = SOFT_FLOAT if "float32" in program.numeric and not board.fpu else 1
    macs = sum(call.macs for call in call_costs(program, program.infer))
    return max(1, EMULATED_MACS // max(1, macs * soft))


def _blocks(program: Program, x: Array) -> list[Array]:
    """x in parts whose call outputs take at most BLOCK_BYTES, or of one sample each."""
    size_bytes = sum(tensor.size_bytes for _, tensor in outputs_of_calls(program))
    count = max(1, BLOCK_BYTES // size_bytes)
    return [x[first : first + count] for first in range(0, len(x), count)]


def _samples(deployment: Deployment, inputs: Array) -> Array:
    """The inputs in the program's dtype, (n, inputs)."""
    network, entry = deployment.network, deployment.program.tensors[deployment.program.input]
    values = np.asarray(inputs)
    shape = sample_shape(network)
    if values.ndim < 1 or len(values) < 1 or values.size != len(values) * prod(shape):
        raise BadInput("inputs", got=f"shape {values.shape}", allowed=f"(n, {', '.join(map(str, shape))}) with n >= 1")
    if values.dtype == entry.dtype != "float32" and network.input_quant is not None:
        return values.reshape(len(values), -1)
    if not np.issubdtype(values.dtype, np.number) or not np.isfinite(values.astype(np.float32)).all():
        raise BadInput("inputs", got=f"{values.dtype} with values that are not finite numbers", allowed="finite float32 values")
    return deployment.inputs(values)
