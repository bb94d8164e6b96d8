"""Every execution of a network against every other: how many values differ, by how much, and whether that is allowed.

The reference is the NumPy twins' result (``edgeff.interpreter``). Equal to the bit, always: the C on the host and the C on the emulated
cores, in their scores and in what every single kernel call makes, and for int8 the scores of TFLite Micro. LiteRT's reference kernels
equal, to the bit, a NumPy twin of *their* arithmetic (``explain``), which explains where they differ from edgeff. ONNX Runtime rescales in
float: at most one step (LSB) a layer from the same inputs. Whole networks in LiteRT and ONNX Runtime are counted: behind a softmax one step
of a logit can be many steps of a probability. Float networks in those libraries are held to a tolerance and never called exact.

With a rule, learning steps too: the weights and all other state, after each step, equal to the bit in the twins, on the host and on the
emulated cores. What is not installed, or cannot take the network, is listed as skipped. An emulated core runs as many of the samples as a
budget of multiply-accumulates allows, and its rows say of how many samples they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod

import numpy as np

from edgeff.cost import call_costs
from edgeff.deploy import Deployment, deploy
from edgeff.errors import BadInput, DoesNotFit, EdgeffError, MissingTool, Unsupported
from edgeff.ir import Array, Board, Network, Program
from edgeff.networks import reproduces_input
from edgeff.verify.comparison import Comparison, Skipped, Verification, compare
from edgeff.verify.executions import Emulated, Host, Results, outputs_of_calls, twin_results
from edgeff.verify.learning import learning_rows
from edgeff.verify.libraries import TWIN, Party, Rows, float_parties, integer_parties

__all__ = ["BOARDS", "HOST", "STEPS", "TWIN", "Comparison", "Skipped", "Verification", "compare", "verify"]

BOARDS = ("nucleo_l4r5zi", "rpi_pico")
"""A Cortex-M4 with an FPU and a Cortex-M0+ without one: the boards when none is named."""
STEPS = 20
HOST = "C on the host"
BLOCK_BYTES = 1 << 26
"""Of what the calls of inference make: samples are compared in blocks no larger than this."""
EMULATED_MACS = 1 << 26
"""What an emulated core is given to run by default, in multiply-accumulates: a few seconds."""
SOFT_FLOAT = 16
"""How many times as many instructions a float32 multiply-accumulate takes on a core without an FPU."""

Progress = Callable[[str, int, int], None]
Execution = Host | Emulated


def verify(
    network: Network,
    inputs: Array,
    *,
    board: Board | str | None = None,
    rule: str | None = None,
    steps: int = STEPS,
    seed: int = 0,
    emulated: int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """The comparisons of the executions of ``network`` on ``inputs``. A forbidden difference is no error here: see ``Verification.check``.

    Args:
        network: float32 or quantised.
        inputs: (n, *input shape), float32, or integers of the network's own input dtype.
        board: the board to emulate, or its name; by default each of BOARDS.
        rule: what learns on the inputs in turn, with labels drawn by ``seed``; None for inference alone.
        steps: the count of learning steps.
        seed: of the labels and of the rule's own randomness.
        emulated: how many of the samples, from the first on, run on an emulated core; by default as EMULATED_MACS allows, at least one.
        progress: is called as ``progress(execution, done, total)``.

    Raises:
        BadInput: for inputs that do not fit or are not finite.
        DoesNotFit: when a named board is too small.
        EdgeffError: for whatever lowering refuses.
    """
    from edgeff.boards import load_board

    for what, count in (("learning steps", steps), ("samples on an emulated core", emulated)):
        if count is not None and count < 1:
            raise BadInput(what, got=count, allowed="1 or more")
    boards = [item if isinstance(item, Board) else load_board(item) for item in ([board] if board else BOARDS)]
    findings = _Findings(progress, boards_may_be_small=board is None)
    target = "input" if reproduces_input(network) else "class"
    deployment = deploy(network, numeric=network.numeric, seed=seed, target=target)
    program, x = deployment.program, _samples(deployment, inputs)
    blocks = _blocks(program, x)
    cores = {f"C on {item.name} (emulated {item.core})": item for item in boards}
    parties: list[Party] = [(HOST, lambda: _own_rows(HOST, program, Host(program, traced=True), len(x), len(x)))]
    for name, item in cores.items():
        count = min(len(x), emulated or _emulated_samples(program, item))
        parties.append((name, partial(_emulated_rows, name, program, item, count, len(x))))
    parties += integer_parties(deployment) if network.numeric != "float32" else float_parties(deployment, blocks[0])
    findings.compare(program, blocks, parties)
    if rule is not None:
        learner = deploy(network, rule=rule, numeric=network.numeric, seed=seed, target=target)
        executions: dict[str, Callable[[Program], Execution]] = {HOST: Host}
        executions |= {name: partial(Emulated, board=item) for name, item in cores.items()}
        samples = _samples(learner, inputs)
        for name, rows in learning_rows(learner, rule, samples, steps, seed, executions, findings.advance):
            findings.try_to(name, rows)
    return Verification(tuple(findings.comparisons.values()), tuple(findings.skipped))


class _Findings:
    """What was found so far: rows by what they compare, and who takes no part."""

    def __init__(self, progress: Progress | None, *, boards_may_be_small: bool) -> None:
        self.comparisons: dict[tuple[str, str, str], Comparison] = {}
        self.skipped: list[Skipped] = []
        self._progress = progress
        self._absences: tuple[type[EdgeffError], ...] = (MissingTool, Unsupported, *([DoesNotFit] if boards_may_be_small else []))

    def advance(self, what: str, total: int) -> Callable[[], None]:
        """What an execution calls after each of ``total`` samples."""
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            if self._progress:
                self._progress(what, done, total)

        return count

    def compare(self, program: Program, blocks: list[Array], parties: list[Party]) -> None:
        """The rows of every party over all blocks of samples; one that takes no part is listed with its reason."""
        total = sum(map(len, blocks))
        made: dict[str, Rows] = {}
        for name, make in parties:
            self.try_to(name, lambda name=name, make=make: made.update({name: make()}) or [])  # type: ignore[misc]
        tell = {name: self.advance(name, total) for name in (TWIN, *made)}
        for block in blocks:
            twin = twin_results(program, block, tell[TWIN])
            for name, rows in tuple(made.items()):
                if not self.try_to(name, partial(rows, block, twin, tell[name])):
                    del made[name]

    def try_to(self, name: str, run: Callable[[], list[Comparison]]) -> bool:
        """Whether an execution took part: its comparisons are kept, or the reason why there are none."""
        try:
            found = run()
        except self._absences as error:
            self.skipped.append(Skipped(name, str(error)))
            return False
        for row in found:
            key = row.a, row.b, row.what
            self.comparisons[key] = self.comparisons[key].with_more(row) if key in self.comparisons else row
        return True


class _Findings:
    """What was found so far."""

    def __init__(self, progress: Progress | None, *, boards_may_be_small: bool) -> None:
        self.comparisons: list[Comparison] = []
        self.skipped: list[Skipped] = []
        self._progress = progress
        self._absences: tuple[type[EdgeffError], ...] = (MissingTool, Unsupported, *([DoesNotFit] if boards_may_be_small else []))

    def advance(self, what: str, total: int) -> Callable[[], None]:
        """What an execution calls after each of ``total`` samples."""
        done = 0

        def count() -> None:
            nonlocal done
            done += 1
            if self._progress:
                self._progress(what, done, total)

        return count

    def try_to(self, name: str, run: Callable[[], list[Comparison]]) -> None:
        """Keeps the comparisons of an execution, or the reason why it takes no part."""
        try:
            self.comparisons += run()
        except self._absences as error:
            self.skipped.append(Skipped(name, str(error)))


def _samples(deployment: Deployment, inputs: Array) -> Array:
    """The inputs in the program's dtype, (n, inputs)."""
    network, entry = deployment.network, deployment.program.tensors[deployment.program.input]
    values = np.asarray(inputs)
    if values.ndim < 1 or len(values) < 1 or values.size != len(values) * prod(network.input_shape):
        raise BadInput("inputs", got=f"shape {values.shape}", allowed=f"(n, {', '.join(map(str, network.input_shape))}) with n >= 1")
    if values.dtype == entry.dtype and network.input_quant is not None:
        return values.reshape(len(values), -1)
    if not np.issubdtype(values.dtype, np.number) or not np.isfinite(values.astype(np.float32)).all():
        raise BadInput("inputs", got=f"{values.dtype} with values that are not finite numbers", allowed="finite float32 values")
    return deployment.inputs(values)


def _own_inference(
    findings: _Findings, program: Program, x: Array, twin: Results, name: str, make: Callable[[Program], Host | Emulated]
) -> list[Comparison]:
    return _own_rows(name, "", twin, make(program).results(x, findings.advance(name, len(x))))


def _own_rows(name: str, when: str, twin: Results, other: Results) -> list[Comparison]:
    """Scores and best classes, to the bit."""
    pairs = (("scores", twin.scores, other.scores), ("best class", twin.classes, other.classes))
    return [compare(TWIN, name, f"{what}{when}", x, y) for what, x, y in pairs]


def _integers(findings: _Findings, deployment: Deployment, x: Array, twin: Results) -> None:
    """An integer network in TFLM, LiteRT and ONNX Runtime."""
    network, n = deployment.network, len(x)
    shaped = x.reshape(n, *network.input_shape)

    def exact_in_tflm() -> list[Comparison]:
        made = engines.tflm(to_tflite(network), shaped, findings.advance("TFLM", n))
        return [compare(TWIN, "TFLM", "scores", twin.scores, made.reshape(n, -1))]

    def explained_in_litert() -> list[Comparison]:
        made = engines.litert(to_tflite(network), shaped, "BUILTIN_REF", findings.advance("LiteRT reference", n)).reshape(n, -1)
        explained = litert_reference(deployment.program, x)
        note = "explained by the row above: LiteRT rescales in floating point and rounds once"
        return [
            compare("NumPy twin with LiteRT's single rounding", "LiteRT reference", "scores", explained, made),
            compare(TWIN, "LiteRT reference", "scores", twin.scores, made, None, _with_classes(note, twin.scores, made)),
        ]

    def counted_in_litert() -> list[Comparison]:
        made = engines.litert(to_tflite(network), shaped, "BUILTIN", findings.advance("LiteRT default", n)).reshape(n, -1)
        note = "optimised kernels and XNNPACK rescale in float32"
        return [compare(TWIN, "LiteRT default", "scores", twin.scores, made, None, _with_classes(note, twin.scores, made))]

    def within_a_step_in_onnxruntime() -> list[Comparison]:
        rows = [_onnx_layer(network, number, x, twin) for number in range(len(network.layers))]
        quant = network.layers[-1].quant["output"]
        made = quantise_array(_onnx(network, x), quant, network.numeric)
        note = "rescaled in float32, at most one step a layer"
        return [*rows, compare(TWIN, "ONNX Runtime", "scores", twin.scores, made, None, _with_classes(note, twin.scores, made))]

    findings.try_to("TFLM", exact_in_tflm)
    findings.try_to("LiteRT reference", explained_in_litert)
    findings.try_to("LiteRT default", counted_in_litert)
    findings.try_to("ONNX Runtime", within_a_step_in_onnxruntime)


def _onnx(network: Network, x: Array) -> Array:
    """The float32 outputs (n, outputs) for integer inputs x (n, inputs)."""
    if network.input_quant is None:
        raise BadInput("network", got="float32", allowed="a quantised network")
    real = dequantise_array(x, network.input_quant).reshape(len(x), *network.input_shape)
    return engines.onnxruntime(network, real).reshape(len(x), -1)


def _onnx_layer(network: Network, number: int, x: Array, twin: Results) -> Comparison:
    """One layer alone, fed with what the twin fed it. A layer that TFLite has no int8 form for is counted only: no standard sets it."""
    layer = network.layers[number]
    source = layer.inputs[0]
    below = None if source == "input" else network[source]
    alone = replace(
        network,
        input_shape=below.shape if below else network.input_shape,
        input_quant=below.quant["output"] if below else network.input_quant,
        layers=(replace(layer, inputs=("input",)),),
    )
    made = quantise_array(_onnx(alone, twin.layers[source] if below else x), layer.quant["output"], network.numeric)
    try:
        to_tflite(alone)
        allowed, note = 1, "from the same inputs; rescaled in float32"
    except Unsupported:
        allowed, note = None, "from the same inputs; the layer's integer form is edgeff's own"
    return compare(TWIN, "ONNX Runtime", f"outputs of layer {layer.name}", twin.layers[layer.name], made, allowed, note)


def _with_classes(note: str, scores: Array, made: Array) -> str:
    """The note with the count of samples whose largest score stands elsewhere."""
    if scores.shape[1] < 2:
        return note
    return f"{note}; {int((scores.argmax(1) != made.argmax(1)).sum())} of {len(scores)} best classes differ"


def _floats(findings: _Findings, deployment: Deployment, x: Array, twin: Results) -> None:
    """A float network in TFLM, LiteRT and ONNX Runtime, within the tolerance."""
    network, n = deployment.network, len(x)
    shaped = x.reshape(n, *network.input_shape)
    allowed = float_tolerance(network, shaped)

    def engine(name: str, run: Callable[[Callable[[], None]], Array]) -> None:
        def rows() -> list[Comparison]:
            made = run(findings.advance(name, n)).reshape(n, -1)
            note = _with_classes("float sums in another order", twin.scores, made)
            return [compare(TWIN, name, "scores", twin.scores, made, allowed, note)]

        findings.try_to(name, rows)

    engine("TFLM", lambda advance: engines.tflm(to_tflite(network), shaped, advance))
    engine("LiteRT reference", lambda advance: engines.litert(to_tflite(network), shaped, "BUILTIN_REF", advance))
    engine("LiteRT default", lambda advance: engines.litert(to_tflite(network), shaped, "BUILTIN", advance))
    engine("ONNX Runtime", lambda _: engines.onnxruntime(network, shaped))


def _learning(
    findings: _Findings,
    deployment: Deployment,
    rule: str,
    inputs: Array,
    steps: int,
    seed: int,
    makers: Sequence[tuple[str, Callable[[Program], Host | Emulated]]],
) -> None:
    """The state after each step, and the scores after the last, in edgeff's own executions."""
    program = deployment.program
    samples = _samples(deployment, inputs)
    x = samples[np.arange(steps) % len(samples)]
    classes = program.tensors[program.output].elements
    labels = np.random.default_rng(seed).integers(0, classes, steps)
    memory = plan(program)
    after = samples[:STEPS]
    total = steps + len(after)
    twin = twin_learning(program, memory, x, labels, after, findings.advance(f"{TWIN} learning", total))

    def rows(name: str, make: Callable[[Program], Host | Emulated]) -> list[Comparison]:
        other = make(program).learning(x, labels, after, findings.advance(f"{name} learning", total))
        what = f"state after each of {steps} steps of {rule} (bytes)"
        states = compare(TWIN, name, what, twin.states, other.states, note=_where(program, memory.offsets, twin, other))
        return [states, *_own_rows(name, f" after {steps} steps of {rule}", twin.after, other.after)]

    for name, make in makers:
        findings.try_to(f"{name} learning", partial(rows, name, make))


def _where(program: Program, offsets: Mapping[str, int], twin: Learned, other: Learned) -> str:
    """The first step and the tensor in which two states differ; empty when they do not."""
    found = np.argwhere(twin.states != other.states)
    if not len(found):
        return ""
    step, byte = (int(v) for v in found[0])
    inside = [t.name for t in program.by_role("variable", "state") if offsets[t.name] <= byte < offsets[t.name] + t.size_bytes]
    return f"first in step {step + 1}, {inside[0] if inside else f'byte {byte}'}"
