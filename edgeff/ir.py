"""The records that everything passes on: networks, programs of kernel calls, memory plans, boards and traces.

All are frozen. Nothing here computes a learning rule or a kernel, and nothing here imports the rest of edgeff but its errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from edgeff.errors import BadInput, Unsupported

Array = NDArray[Any]
Attr = int | float | str | bool
Numeric = Literal["float32", "int16", "int8"]
Role = Literal["input", "label", "target", "constant", "variable", "state", "ring", "memory", "activation"]

NUMERICS: tuple[Numeric, ...] = ("float32", "int16", "int8")
SUFFIX: Mapping[str, str] = {"float32": "f32", "int16": "i16", "int8": "i8", "int32": "i32"}
"""How the names of kernels end."""
PERSISTENT: tuple[Role, ...] = ("variable", "state", "ring", "memory")
"""The roles that stay in RAM between the lines."""
DTYPE_BYTES: Mapping[str, int] = {"float32": 4, "int8": 1, "int16": 2, "int32": 4, "uint32": 4, "int64": 8}


@dataclass(frozen=True, slots=True)
class Quant:
    """Affine quantisation, ``real = scale * (q - zero_point)`` (TFLite 8-bit specification).

    ``scale`` holds one positive float, or one per slice along ``axis`` (per-channel weights; ``zero_point`` is then 0). ``dtype`` is that
    of q: ``"int8"``, ``"int16"``, or ``"int32"`` and ``"int64"`` for biases and sums.
    """

    scale: tuple[float, ...]
    zero_point: int = 0
    axis: int | None = None
    dtype: str = field(default="int8", repr=False)

    @property
    def per_channel(self) -> bool:
        return self.axis is not None

    @property
    def least(self) -> float:
        """The real number that the lowest q stands for."""
        return float(np.iinfo(self.dtype).min - self.zero_point) * self.scale[0]

    def scales(self) -> NDArray[np.float64]:
        """The scales as a float64 vector of shape (1,) or (channels,)."""
        return np.asarray(self.scale, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Headroom:
    """Factors >= 1 on the calibrated ranges of the weights, the hidden activations and the last layer's output.

    ``input_margin`` is added around the input's range, and ``margins`` around those of the layers it names. A network that learns moves out
    of the ranges it was calibrated on, and what leaves its range saturates.
    """

    weights: float = 1.0
    hidden: float = 1.0
    output: float = 1.0
    input_margin: float = 0.0
    margins: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Operator:
    """What a layer computes: the base of the records in ``edgeff.ops``, whose fields are the operator's attributes."""

    name: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """One node of a network: an operator applied to the outputs of earlier layers.

    ``op`` is the operator's record with its attributes; ``inputs`` names earlier layers, or ``"input"``; ``shape`` is the output's shape
    without the batch axis; ``params`` holds the arrays
    (for ``dense``: ``weight`` (n_out, n_in) and, with a bias, ``bias`` (n_out,)); ``quant`` is empty for a float layer, else it maps
    ``"output"`` and each parameter's name to its quantisation.
    """

    name: str
    op: Operator
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    params: Mapping[str, Array] = field(default_factory=dict)
    quant: Mapping[str, Quant] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The registered name of its operator."""
        return self.op.name

    @property
    def trainable(self) -> bool:
        return "weight" in self.params

    @property
    def numeric(self) -> Numeric:
        """The number format of its output and, where it has weights, of these."""
        return cast("Numeric", self.quant["output"].dtype) if "output" in self.quant else "float32"

    @property
    def suffix(self) -> str:
        """How the names of its kernels end: ``f32``, ``i16`` or ``i8``."""
        return SUFFIX[self.numeric]


@dataclass(frozen=True, slots=True)
class Network:
    """A feed-forward network with its parameters, in one number format or several.

    ``input_shape`` has no batch axis; ``layers`` stand in topological order and the last one is the output. ``input_quant`` is set exactly
    when the layers that read the input are quantised. ``metadata`` is JSON-able (rule, hyper-parameters, seeds, provenance, normalisation
    of the inputs, classes). ``outputs`` names the layers that are outputs where these are several; further inputs are layers that read
    nothing (``edgeff.ops.input``).
    """

    name: str
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    input_quant: Quant | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        seen = {"input"}
        for layer in self.layers:
            missing = [name for name in layer.inputs if name not in seen]
            if missing or layer.name in seen:
                raise BadInput(
                    f"network {self.name!r}, layer {layer.name!r}",
                    got=f"inputs {missing} that no earlier layer makes" if missing else "a name used twice",
                    allowed="unique names, layers in topological order",
                )
            seen.add(layer.name)
        if not self.layers:
            raise BadInput(f"network {self.name!r}", got="no layers", allowed="at least one")
        if len({*self.outputs}) < len(self.outputs) or not {*self.outputs} <= seen - {"input"}:
            raise BadInput(f"network {self.name!r}, outputs", got=list(self.outputs), allowed="layers, each once")

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    @property
    def numerics(self) -> tuple[Numeric, ...]:
        """The number formats of its layers, in the order in which they first occur."""
        return tuple(dict.fromkeys(layer.numeric for layer in self.layers))

    @property
    def numeric(self) -> Numeric:
        """The number format of all its layers. Raises Unsupported where they have several."""
        if len(self.numerics) > 1:
            raise Unsupported(f"network {self.name!r}", got=f"layers in {' and '.join(self.numerics)}", allowed="one number format")
        return self.numerics[0]

    @property
    def ends(self) -> tuple[Layer, ...]:
        """The layers that are its outputs, in order."""
        return tuple(self[name] for name in self.outputs) or self.layers[-1:]

    @property
    def trainable(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.trainable)

    @property
    def symmetric(self) -> bool:
        """Whether int16 is -32767 to 32767, as where weights are int16: TFLite's int16 activations, beside int8 weights, reach -32768."""
        return any(layer.quant["weight"].dtype == "int16" for layer in self.layers if "weight" in layer.quant)

    @property
    def upstream(self) -> Network:
        """This network without the layers that its output does not depend on: side branches, such as local classifiers."""
        needed = {layer.name for layer in self.ends}
        for layer in reversed(self.layers):
            if layer.name in needed:
                needed.update(layer.inputs)
        kept = tuple(layer for layer in self.layers if layer.name in needed)
        return self if len(kept) == len(self.layers) else replace(self, layers=kept)

    @property
    def parameters(self) -> int:
        """The count of weights and biases."""
        return sum(p.size for layer in self.layers for p in layer.params.values())

    def replacing(self, layers: Mapping[str, Layer], **changes: Any) -> Network:
        """This network with some layers (by name) and other fields replaced."""
        return replace(self, layers=tuple(layers.get(layer.name, layer) for layer in self.layers), **changes)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a program and where it lives.

    Roles: ``input``, ``label`` and ``target`` are written by the caller into the arena before a call; ``constant`` lies in flash;
    ``variable`` lies in RAM for good and starts as ``data``, of which flash holds a copy; ``state`` lies in RAM for good and starts at
    zero; so does ``ring``, which holds samples and what tells of them; ``memory`` lies in RAM for good too, is what an operator remembers
    from one inference to the next and starts at its zero point; ``activation`` lies in the arena between the first and the last call that
    uses it. ``layer`` is the layer whose memory this is, for maps and tables; ``saved``, whether a saved state holds it, if it
    stays in RAM; ``initial_of``, the variable whose initial value this constant is, which so takes no flash of its own.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: Role
    data: Array | None = None
    quant: Quant | None = None
    layer: str = ""
    saved: bool = True
    initial_of: str = ""

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        return self.elements * DTYPE_BYTES[self.dtype]

    @property
    def start(self) -> int:
        """What every element of a ``memory`` starts at."""
        return self.quant.zero_point if self.quant is not None else 0


class Parameters:
    """Base of the records that a kernel takes beside its tensors (``edgeff.kernels.records``): small C structs."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a kernel. C receives ``outputs``, ``inputs``, then the numbers and records ``attrs`` in the order the kernel declares.

    An output that the kernel also reads (an update in place) stands among the outputs only. ``layer`` is the layer the cost is booked on,
    ``stage`` the part of the step it belongs to (``forward``, ``feedback``, ``update``, ...); ``variant`` is the kernel's form that
    ``program.select`` has chosen, "" the plain one.
    """

    kernel: str
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    attrs: Mapping[str, int | float | Parameters]
    layer: str
    stage: str = "forward"
    variant: str = ""

    @property
    def function(self) -> str:
        """The C function that it calls."""
        return f"{self.kernel}_{self.variant}" if self.variant else self.kernel


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line of kernel calls that runs as a whole.

    The caller writes the tensors ``arguments`` before it, and may read ``results`` after it until the next line runs. It does not run as
    long as one of the counters ``needs`` is 0. ``keeps`` names arguments whose memory nothing else uses until its end.
    """

    name: str
    calls: tuple[Call, ...]
    arguments: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """A network and a rule lowered to named lines of kernel calls over common tensors.

    ``numeric`` names the number formats of the layers, such as ``int8`` or ``int8+float32``.

    Every program has the line ``infer``: its arguments are the inputs, one unless the network has several; its results are the scores and,
    where there are classes, the best one (int32, shape (1,)), or the outputs of a network that has several. A program that learns has the
    line ``learn``, one learning step, whose arguments are the input and, where classes are learned, the label, or where values are, the
    target. There may be further lines. Calls are numbered through all lines in turn.
    """

    name: str
    rule: str
    numeric: str
    tensors: Mapping[str, Tensor]
    lines: Mapping[str, Line]
    seed: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def infer(self) -> tuple[Call, ...]:
        """The calls of an inference."""
        return self.lines["infer"].calls

    @property
    def learn(self) -> tuple[Call, ...]:
        """The calls of a learning step; none where nothing learns."""
        return self.lines["learn"].calls if "learn" in self.lines else ()

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls of all lines in turn."""
        return tuple(call for line in self.lines.values() for call in line.calls)

    @property
    def input(self) -> str:
        """The tensor that holds a sample."""
        return self.lines["infer"].arguments[0]

    @property
    def output(self) -> str:
        """The tensor that holds the scores after ``infer``."""
        return self.lines["infer"].results[0]

    @property
    def prediction(self) -> str | None:
        """The tensor that holds the best class after ``infer``; None where there are no classes."""
        return next((name for name in self.lines["infer"].results[1:] if self.tensors[name].dtype == "int32"), None)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The tensors that hold a sample, in order."""
        return tuple(self.tensors[name] for name in self.lines["infer"].arguments if self.tensors[name].role == "input")

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The tensors that hold the outputs after ``infer``, in order."""
        return tuple(self.tensors[name] for name in self.lines["infer"].results if name != self.prediction)

    def parts(self, sample: Array) -> tuple[Array, ...]:
        """The sample of each input, flat, from all of them one after the other."""
        ends = np.cumsum([tensor.elements for tensor in self.inputs])
        if sample.size != ends[-1]:
            raise BadInput("input", got=f"{sample.size} numbers", allowed=f"{ends[-1]}")
        return tuple(np.split(sample.reshape(-1), ends[:-1]))

    @property
    def label(self) -> str | None:
        """The tensor that holds the sample's class; None where no line reads one."""
        return next((tensor.name for tensor in self.by_role("label")), None)

    @property
    def target(self) -> str | None:
        """The tensor that holds the numbers that the output should be; None where no line reads any."""
        return next((tensor.name for tensor in self.by_role("target")), None)

    @property
    def classes(self) -> int:
        """The count of classes, 0 where the output is no class."""
        return self.tensors[self.output].elements if self.prediction else 0

    def place(self, position: int) -> tuple[str, int]:
        """The line that the call numbered ``position`` belongs to, and its number in that line."""
        for line in self.lines.values():
            if position < len(line.calls):
                return line.name, position
            position -= len(line.calls)
        raise IndexError(position)

    def by_role(self, *roles: Role) -> tuple[Tensor, ...]:
        return tuple(t for t in self.tensors.values() if t.role in roles)

    @property
    def persistent(self) -> tuple[Tensor, ...]:
        """The tensors that stay in RAM, as they lie in the arena: variables, state, rings, and last what is not saved."""
        return tuple(sorted(self.by_role(*PERSISTENT), key=lambda t: (not t.saved, PERSISTENT.index(t.role))))

    @property
    def saved(self) -> tuple[Tensor, ...]:
        """Those of them that a saved state holds."""
        return tuple(tensor for tensor in self.persistent if tensor.saved)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Where every tensor of a program lies, in bytes.

    The one static arena begins with what persists (``persistent_bytes``, of which the first ``saved_bytes`` are those of a saved state) and
    goes on with the scratch part, where lifetimes share the space. ``offsets`` maps each RAM tensor to its offset from the arena's start.
    ``flash_bytes`` counts the constants and the initial values of variables (no code). ``lower_bound_bytes`` is persistent + the most that
    any one call needs: the scratch tensors alive in it, its outputs over its inputs as far as the kernel allows. In the call that makes it,
    an output may share bytes with an input that is not needed any more. ``line_bytes`` are the scratch peaks of the lines; ``lifetimes``
    are spans of calls, numbered
    through all lines in turn.
    """

    arena_bytes: int
    persistent_bytes: int
    saved_bytes: int
    flash_bytes: int
    offsets: Mapping[str, int]
    lower_bound_bytes: int
    line_bytes: Mapping[str, int]
    lifetimes: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Region:
    """A memory region of a board: ``kind`` is ``flash`` or ``ram``; origin and length in bytes."""

    name: str
    kind: Literal["flash", "ram"]
    origin: int
    length_bytes: int


@dataclass(frozen=True, slots=True)
class Uart:
    """The serial line of a board: the kind of its registers (a file of the firmware template), their address, and the clock they divide.

    The pins are those of the chip, where its UART has to be told of them.
    """

    kind: str
    base: int
    clock_hz: int
    tx_pin: int | None = None
    rx_pin: int | None = None


@dataclass(frozen=True, slots=True)
class Flasher:
    """The tool that writes a board's flash, and what it has to be told of the board: a configuration file, the chip; "" if nothing."""

    tool: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Power:
    """What a core draws while it computes: the typical run current of its data sheet per MHz of its clock, and the supply it holds for."""

    microamps_per_mhz: float
    supply_v: float

    def joules(self, cycles: int) -> float:
        """The energy of so many cycles: at a constant current per MHz the clock cancels out.

        >>> Power(100.0, 3.0).joules(1_000_000)
        0.0003
        """
        return cycles * self.microamps_per_mhz * self.supply_v / 1e12


@dataclass(frozen=True, slots=True)
class Board:
    """A board as its TOML says: core, FPU, clock, memory, flash wait states, toolchain flags and targets, with the source of each value.

    ``flash_wait_states`` is None where no document says it. ``flasher`` is the tool that writes its flash, None where none is known,
    and so for ``power``.

    ``machines`` holds the name that an emulator of whole machines (QEMU) has for the board, by target. ``uart`` is the serial line that
    firmware of edgeff's own can use, None where only the vendor's software reaches it.
    """

    name: str
    summary: str
    core: str
    fpu: bool
    clock_hz: int
    regions: tuple[Region, ...]
    flash_wait_states: int | None
    toolchains: Mapping[str, tuple[str, ...]]
    targets: tuple[str, ...]
    sources: Mapping[str, str]
    machines: Mapping[str, str] = field(default_factory=dict)
    uart: Uart | None = None
    flasher: Flasher | None = None
    power: Power | None = None

    @property
    def flash_bytes(self) -> int:
        return sum(r.length_bytes for r in self.regions if r.kind == "flash")

    @property
    def ram_bytes(self) -> int:
        """The length of the first RAM region: the one the linker script puts the arena and the stack in."""
        return next(r.length_bytes for r in self.regions if r.kind == "ram")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a line takes; unknown is None, never 0."""

    macs: int | None = None
    instructions: int | None = None
    cycles: int | None = None
    latency_s: float | None = None
    energy_j: float | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class CallCost:
    """The cost of one call of a program, in program order; ``name`` is the layer, ``kernel`` the kernel called."""

    name: str
    kernel: str
    stage: str
    macs: int
    instructions: int | None = None
    cycles: int | None = None


@dataclass(frozen=True, slots=True)
class LineCost:
    """What a line takes, as a whole and by call."""

    cost: Cost = field(default_factory=Cost)
    calls: tuple[CallCost, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on a board. Flash and static RAM come from the ELF, the arena from its symbol, the stack from painting; unknown is None."""

    flash_bytes: int | None = None
    weight_bytes: int | None = None
    arena_bytes: int | None = None
    static_ram_bytes: int | None = None
    stack_bytes: int | None = None

    @property
    def total_ram_bytes(self) -> int | None:
        if self.static_ram_bytes is None or self.stack_bytes is None:
            return None
        return self.static_ram_bytes + self.stack_bytes


@dataclass(frozen=True, slots=True)
class Trace:
    """One configuration with what is known of it: an entry of the ``runs`` list of ``report.json``.

    ``lines`` holds the cost of every line of the program of which something is known. Where values are learned, ``mse`` holds the mean
    squared errors ``before`` and ``after``, in the values' units, and there is no accuracy.
    ``refused`` says in one line why a configuration could not run, and is empty for one that did; ``remarks`` say what a reader has to know
    of the figures, such as where the weights come from.
    """

    task: str
    network: str
    rule: str
    numeric: str
    board: str | None
    target: str
    seed: int
    accuracy: Mapping[str, float | None] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    lines: Mapping[str, LineCost] = field(default_factory=dict)
    functions: Mapping[str, int] = field(default_factory=dict)
    curve: tuple[tuple[int, float], ...] = ()
    memory_map: tuple[Mapping[str, Any], ...] = ()
    artifacts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    refused: str = ""
    remarks: tuple[str, ...] = ()
    mse: Mapping[str, float] = field(default_factory=dict)

    def line(self, name: str) -> LineCost:
        """What is known of a line: nothing, where the program does not have it."""
        return self.lines.get(name, LineCost())

    @property
    def infer(self) -> Cost:
        """The cost of an inference."""
        return self.line("infer").cost

    @property
    def learn(self) -> Cost:
        """The cost of a learning step."""
        return self.line("learn").cost

    @property
    def calls(self) -> tuple[CallCost, ...]:
        """The costs of the calls of all lines in turn."""
        return tuple(call for line in self.lines.values() for call in line.calls)
