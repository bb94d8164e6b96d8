"""Operators: what a layer of a network computes. One folder per operator, one record per use.

An operator is a frozen dataclass whose fields are its attributes. It knows the shape and parameters of its layer, its fast host
mathematics over a batch, and how it is lowered to kernel calls; traits on its class tell other passes what they need to know. Parameters
travel as ``Params``: layer name -> parameter name -> array; activations as a ``dict``: layer name, or ``"input"`` -> (B, ...) array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

import numpy as np

from edgeff import ir
from edgeff.errors import BadInput, Unsupported, one_line, short
from edgeff.ir import Array, Attr, Layer, Network, Numeric, Quant
from edgeff.kernels.activation import ACTIVATIONS, NONE, ActivationFunction
from edgeff.ops.attributes import MAX_ELEMENTS, ActivationName, allowed, checked, domains, is_left_out
from edgeff.ops.building import OperatorBuilder, Value
from edgeff.ops.parallel import cached, each, empty
from edgeff.registry import ops as registry

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on

Params = dict[str, dict[str, Array]]
Activations = dict[str, Array]
Named = Mapping[str, Array]
Arrays = tuple[Array, ...]
Shape = tuple[int, ...]
_AXES = {1: "one axis", 2: "(L, C)", 3: "(H, W, C)"}


OperatorT = TypeVar("OperatorT", bound="Operator")


@dataclass(frozen=True, kw_only=True)
class Example:
    """A layer that an operator is tried on (``edgeff.contracts``): attributes beside the defaults, the shape of its inputs and its own.

    An empty shape is for the check to choose; the layer's own matters where the operator does not say it from its inputs.
    """

    attributes: Mapping[str, Attr] = field(default_factory=dict)
    inputs: Shape = ()
    output: Shape = ()


@dataclass(frozen=True, kw_only=True)
class Operator(ir.Operator):
    """The contract of an operator. Host mathematics is float and batched: x is (B, *input shape).

    Its attributes are the fields of its record, each annotated with a type of ``edgeff.ops.attributes``: the attributes of a record that
    exists are always allowed. ``layer`` is the layer whose ``op`` the record is, for its name, shape and parameters.

    Traits, on the class, are what other passes need to know:

    - ``arity``: the number of its inputs, all of one shape unless ``check_inputs`` says otherwise; 0 for one that reads nothing, whose
      ``forward`` makes a batch of one. ``input_axes``: the number of their axes without the batch, None for any.
    - ``weighted``: it multiplies its input by a weight (``edgeff.ops.weighted``); ``weight_axis``: the weight's axis that counts outputs
      (per-channel scales lie along it); ``per_channel``: int8 gives each output its own scale by default.
    - ``moving``: the parameters that are moving averages of batch statistics.
    - ``keeps_quant``: its output has its input's quantisation; ``one_scale``: so have all of its inputs.
    - ``keeps_sign``: no output is negative if no input is; ``keeps_zero``: an elementwise operator's output is zero where its input is.
    - ``elementwise``: an element of the output depends on the elements at its place alone, apart from constants of its channel.
    - ``keeps_places``: element i of the output stands for element i of the input, however the other elements enter it.
    - ``works_in_place``: its output may lie where its input lies.
    - ``channelwise``: a channel of the output reads one channel of the input alone.
    - ``numerics``: the number formats of its output in which it has kernels.
    - ``probabilities``: its output is the probability of each class, so its input is the logits.
    - ``given``: its output is an input of the network, which the caller gives.
    - ``remembers``: its output depends on the inputs of earlier inferences; ``forward`` takes the rows of a batch for one after the other,
      the first of them after a reset.
    - ``reads``: the dtype of the network's input if the operator takes no other (audio is ``"int16"`` in every numeric, measurements
      ``"float32"``); empty for the dtype of the numeric.
    - ``described``: the attributes that foreign formats do not state and that only edgeff's own description in a file holds.
    - ``example``: a layer to try it on, where small attributes and any shape will not do.
    """

    summary: ClassVar[str] = ""
    arity: ClassVar[int] = 1
    input_axes: ClassVar[int | None] = None
    weighted: ClassVar[bool] = False
    keeps_quant: ClassVar[bool] = False
    one_scale: ClassVar[bool] = False
    keeps_sign: ClassVar[bool] = False
    keeps_zero: ClassVar[bool] = False
    elementwise: ClassVar[bool] = False
    keeps_places: ClassVar[bool] = False
    works_in_place: ClassVar[bool] = False
    channelwise: ClassVar[bool] = False
    numerics: ClassVar[tuple[Numeric, ...]] = ("float32", "int8")
    probabilities: ClassVar[bool] = False
    weight_axis: ClassVar[int] = 0
    per_channel: ClassVar[bool] = False
    moving: ClassVar[tuple[str, ...]] = ()
    given: ClassVar[bool] = False
    reads: ClassVar[str] = ""
    described: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[Example] = Example()

    def __post_init__(self) -> None:
        for name in domains(type(self)):
            object.__setattr__(self, name, checked(type(self), name, getattr(self, name)))

    @property
    def attributes(self) -> dict[str, Attr]:
        """The attributes as a file holds them; ``make`` reads them back."""
        return {name: getattr(self, name) for name in domains(type(self)) if not is_left_out(self, name)}

    def replacing(self, **attributes: Attr) -> Self:
        """The record with some attributes replaced. Raises BadInput as ``make`` does."""
        return make(type(self), {name: getattr(self, name) for name in domains(type(self))} | attributes)

    @property
    def initialised(self) -> Self:
        """The record of a layer that has its parameters, without what only ``initial`` needs."""
        return self

    @property
    def function(self) -> ActivationFunction:
        """The activation function that ends the operator."""
        return NONE

    @property
    def remembers(self) -> bool:
        return False

    def check(self, layer: Layer, inputs: tuple[Shape, ...], *, quantised: bool) -> None:
        """Raises BadInput, naming ``layer``, if its shape or parameters do not fit inputs of these shapes.

        For networks that come from a file or go into one: parameters are float32, or int8 and int32 where the network is ``quantised``.
        """
        where = f"layer {short(layer.name)}"
        self.check_inputs(layer, inputs)
        if inputs and (padded := self.padded_elements(inputs[0])) > MAX_ELEMENTS:  # the host pads it in memory
            raise BadInput(f"{where}, padding", got=f"{inputs[0]} padded to {padded} elements", allowed=f"at most {MAX_ELEMENTS}")
        self.check_parameters(layer, inputs, quantised=quantised)
        expected = self.output_shape(layer, inputs)
        if layer.shape != expected:
            raise BadInput(where, got=f"shape {layer.shape}", allowed=expected)

    def check_inputs(self, layer: Layer, inputs: tuple[Shape, ...]) -> None:
        """The part of ``check`` that concerns the inputs' shapes: by default ``arity`` of one shape."""
        where = f"layer {short(layer.name)}"
        if len(inputs) != self.arity:
            raise BadInput(where, got=f"{len(inputs)} inputs", allowed=self.arity)
        if inputs and (len(inputs[0]) != (self.input_axes or len(inputs[0])) or any(shape != inputs[0] for shape in inputs)):
            allowed = f"{self.arity} of one shape" if self.arity > 1 else _AXES.get(self.input_axes or 0, f"{self.input_axes} axes")
            raise BadInput(where, got=f"inputs of shape {', '.join(map(str, inputs))}", allowed=allowed)

    def check_parameters(self, layer: Layer, inputs: tuple[Shape, ...], *, quantised: bool) -> None:
        """The part of ``check`` that concerns parameters: by default there are none."""
        if layer.params:
            raise BadInput(f"layer {short(layer.name)}", got=f"parameters {sorted(layer.params)}", allowed="none")

    def padded_elements(self, x: Shape) -> int:
        """The elements of its first input, of shape ``x``, including the zeros put around it."""
        return prod(x)

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        """The layer's output shape (no batch axis) from its inputs' shapes."""
        return inputs[0]

    def macs_per_position(self, layer: Layer, x: Shape) -> int | None:
        """Multiply-accumulates per output position for inputs of shape ``x``, as published cost tables count them.

        Taps that fall on the padding count too. None: no table has a formula for it.
        """
        return None

    def initial(self, layer: Layer, inputs: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> dict[str, Array]:
        """Fresh float32 parameters; {} for a layer without parameters."""
        return {}

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        """The layer's output, (B, *shape), from its inputs."""
        raise Unsupported(f"operator {self.name!r}", got="forward on the host")

    def gate(self, layer: Layer, delta: Array, y: Array) -> Array:
        """``delta`` (d loss / d y) passed back through the layer's activation function, from its output y."""
        return delta

    def weight_gradient(self, layer: Layer, params: Mapping[str, Array], delta: Array, x: Array) -> dict[str, Array]:
        """The gradient of each parameter, averaged over the batch and summed over positions, from the gated delta and the layer's input."""
        return {}

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        """d loss / d x for each input, from the gated delta and the inputs."""
        raise Unsupported(
            f"operator {self.name!r}",
            got="a gradient through it",
            allowed="layers with an input gradient",
            next_step="use a layer-local rule",
        )

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        """The exact directional derivative of ``forward`` (forward mode): dy, (B, *shape), along tangents of parameters and inputs.

        ``tangents`` holds an array of the parameter's shape for each parameter that moves; {} moves none. ``dxs`` are the tangents of the
        inputs xs, y their output. Given what ``forward_training`` saved, it is the derivative of that (batch normalisation: through the
        batch's own statistics), else that of ``forward`` (the moving ones).
        """
        raise Unsupported(f"operator {self.name!r}", got="a forward derivative", allowed="layers with one", next_step="use another rule")

    def forward_training(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> tuple[Array, Any]:
        """The layer's output in training and what ``backward`` needs from this pass; by default ``forward`` and nothing."""
        return self.forward(layer, params, *xs), None

    def backward(
        self, layer: Layer, params: Mapping[str, Array], delta: Array, y: Array, xs: tuple[Array, ...], saved: Any, *, wanted: bool
    ) -> tuple[tuple[Array, ...], dict[str, Array]]:
        """d loss / d x of each input (none unless ``wanted``) and the gradients, from delta = d loss / d y, which is not changed.

        An entry named like a parameter in ``moving`` is not a gradient but the batch's value of that statistic.
        """
        delta = self.gate(layer, delta, y)
        deltas = self.input_gradients(layer, params, delta, *xs) if wanted else ()
        return deltas, self.weight_gradient(layer, params, delta, xs[0])

    def lower(self, build: OperatorBuilder, layer: Layer, *xs: Value) -> Value:
        """Emits the forward call on the inputs' values and returns the output's value (``build``: ``edgeff.program.lower.Builder``)."""
        raise Unsupported(f"operator {self.name!r}", got="lowering")

    def lower_update(self, build: OperatorBuilder, layer: Layer, delta: Value, x: Value) -> None:
        """Emits the update of the layer's parameters in place; nothing for a layer without parameters."""
        if layer.trainable:
            raise Unsupported(
                f"learning in layer {layer.name!r}, {self.name}",
                got="no update kernel",
                next_step="let the layers above it learn (rule frozen)",
            )

    def lower_bias_update(self, build: OperatorBuilder, layer: Layer, delta: Value) -> None:
        """Emits the update of the layer's bias alone, in place."""
        raise Unsupported(f"learning the bias of layer {layer.name!r}, {self.name}", got="no update kernel", next_step="set parameters=all")

    def lower_input_gradients(self, build: OperatorBuilder, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """Emits d loss / d x for each input from the gated delta and the inputs' values; returns theirs."""
        raise Unsupported(f"operator {self.name!r}", got="a gradient through it on the device", next_step="use a layer-local rule")

    def lower_jvp(self, build: OperatorBuilder, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        """Emits the tangent of the output before its activation function, with fixed parameters, and returns its value.

        ``dxs`` are the tangents of the inputs' values xs, None for one that does not move; at least one moves. The caller may change the
        value in place (except a reshape of dxs).
        """
        raise Unsupported(
            f"layer {layer.name!r}, {self.name}",
            got=f"a forward derivative on the device in {layer.numeric}",
            allowed="layers with one",
            next_step="use another rule",
        )

    def in_integers(self, layer: Layer, output: Quant) -> Layer:
        """A layer without weights once its output is quantised: its attributes and parameters, which by default stay as they are."""
        return layer

    def calibrated_range(self, layer: Layer, low: float, high: float) -> tuple[float, float]:
        """The real range the quantised output must span, from the observed one."""
        return low, high

    def fixed_quant(self, numeric: Numeric, below: Quant | None = None) -> Quant | None:
        """The output's quantisation if the operator fixes it (from that of its input); None if calibration decides."""
        return None


@dataclass(frozen=True, kw_only=True)
class Activated(Operator):
    """An operator that ends in an activation function: one that follows it can be fused into it."""

    activation: ActivationName = NONE.name

    @property
    def function(self) -> ActivationFunction:
        return ACTIVATIONS[self.activation]

    def gate(self, layer: Layer, delta: Array, y: Array) -> Array:
        if not self.function.clamps:
            return delta
        through = empty(delta.shape, delta.dtype)

        def write(part: slice) -> None:
            np.multiply(delta[part], self.function.opened(y[part]), out=through[part])

        each(write, cached(delta, y))
        return through


def operator(cls: type[OperatorT]) -> type[OperatorT]:
    """Registers the class of an operator, a frozen dataclass, under its ``name``; a decorator, also for plug-ins."""
    registry.add(cls.name, cls)
    return cls


@overload
def make(operator: str, attributes: Mapping[str, object]) -> Operator: ...
@overload
def make(operator: type[OperatorT], attributes: Mapping[str, object]) -> OperatorT: ...
def make(operator: str | type[Operator], attributes: Mapping[str, object]) -> Operator:
    """The record of an operator, by its registered name or its class, from untrusted attributes.

    Raises BadInput for an operator that is not registered and, naming it, for an attribute that is unknown, missing or not allowed.
    """
    cls: type[Operator] = registry[operator] if isinstance(operator, str) else operator
    known = domains(cls)
    if unknown := sorted(set(attributes) - set(known)):
        raise BadInput(cls.name, got=f"the attribute {unknown[0]!r}", allowed=", ".join(known) or "no attributes")
    needed = [item.name for item in fields(cls) if item.default is MISSING and item.name not in attributes]
    if needed:
        raise BadInput(f"{cls.name}, {needed[0]}", got="nothing", allowed=allowed(cls, needed[0]))
    return cls(**attributes)


def kind(layer: Layer) -> Operator:
    """The operator of ``layer``, typed. Raises BadInput for a record that belongs neither to edgeff nor to a plug-in."""
    if not isinstance(layer.op, Operator):
        raise BadInput(f"layer {layer.name!r}, operator", got=one_line(repr(layer.op), 80), allowed="a record of edgeff.ops")
    return layer.op


def record(layer: Layer, operator: type[OperatorT]) -> OperatorT:
    """The operator of ``layer``, which must be an ``operator``; raises BadInput otherwise."""
    if not isinstance(layer.op, operator):
        raise BadInput(f"layer {layer.name!r}, operator", got=layer.kind, allowed=operator.name)
    return layer.op


SAMPLES = Quant((1.0,), 0, dtype="int16")
"""The quantisation of an input that is not quantised: one step is one unit of the samples."""
REAL = Quant((1.0,), 0, dtype="float32")
"""The same of an integer network whose first layer reads real numbers."""
RAW: Mapping[str, Quant] = {"int16": SAMPLES, "float32": REAL}
"""By what the first layer ``reads``."""


def split_input(network: Network) -> tuple[Layer | None, Network]:
    """The layer that turns raw samples into the input of the network after it, and that network; None if there is no such layer.

    Rules, calibration and learning concern only the network after it. Raises Unsupported if another layer reads the samples as well.
    """
    readers = [layer for layer in network if "input" in layer.inputs]
    first = next((layer for layer in readers if kind(layer).reads), None)
    if first is None or len(network.layers) == 1:
        return None, network
    if len(readers) > 1:
        names = ", ".join(repr(layer.name) for layer in readers)
        raise Unsupported(f"the input of network {network.name!r}", got=f"readers {names}", allowed=f"{first.name!r} alone")
    rest = _reading(network.layers, first.name, "input")
    return first, replace(network, input_shape=first.shape, input_quant=first.quant.get("output"), layers=rest)


def prepend(first: Layer, network: Network, input_shape: tuple[int, ...]) -> Network:
    """``network`` reading the output of ``first``, which reads raw samples of ``input_shape``: the inverse of ``split_input``."""
    quant = {} if network.input_quant is None else {"output": network.input_quant}
    raw = None if network.input_quant is None else RAW[kind(first).reads]
    rest = _reading(network.layers, "input", first.name)
    return replace(network, input_shape=input_shape, input_quant=raw, layers=(replace(first, quant=quant), *rest))


def _reading(layers: tuple[Layer, ...], old: str, new: str) -> tuple[Layer, ...]:
    """``layers`` without the one called ``old``; its readers read ``new``."""
    return tuple(
        replace(layer, inputs=tuple(new if name == old else name for name in layer.inputs)) for layer in layers if layer.name != old
    )


def raw_input(network: Network) -> str:
    """The dtype of the raw samples that the network starts from (``"int16"`` for audio, ``"float32"`` for measurements); empty where it
    reads its numeric.
    """
    return max((kind(layer).reads for layer in network if "input" in layer.inputs), default="")


def further_inputs(network: Network) -> tuple[Layer, ...]:
    """The layers that are inputs of the network beside its first."""
    return tuple(layer for layer in network if kind(layer).given)


def input_elements(network: Network) -> int:
    """The numbers of a sample: those of all inputs."""
    return prod(network.input_shape) + sum(prod(layer.shape) for layer in further_inputs(network))


def sample_shape(network: Network) -> tuple[int, ...]:
    """The shape of a sample: that of the input, or one axis with all inputs one after the other where there are several."""
    return (input_elements(network),) if further_inputs(network) else network.input_shape


def by_input(network: Network, x: Array) -> Activations:
    """The samples of each input, (B, *its shape), from x (B, *sample shape)."""
    layers = further_inputs(network)
    if not layers:
        return {"input": x}
    shapes = {"input": network.input_shape} | {layer.name: layer.shape for layer in layers}
    ends = np.cumsum([prod(shape) for shape in shapes.values()])
    parts = np.split(x.reshape(len(x), -1), ends[:-1], axis=1)
    return {name: part.reshape(len(x), *shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def forward(network: Network, params: Params, x: Array) -> Activations:
    """Every layer's output for a batch x (B, *sample shape), in float."""
    values = by_input(network, x)
    for layer in network:
        if layer.name in values:
            continue
        y = kind(layer).forward(layer, params.get(layer.name, {}), *(values[name] for name in layer.inputs))
        values[layer.name] = y if layer.inputs else np.broadcast_to(y, (len(x), *layer.shape))
    return values


def jvp(
    network: Network,
    params: Params,
    tangents: Mapping[str, Mapping[str, Array]],
    x: Array,
    dx: Array | None = None,
    *,
    shifts: Mapping[str, Array] | None = None,
    values: Activations | None = None,
) -> tuple[Activations, Activations]:
    """Every layer's output for a batch x, and its exact directional derivative: one more pass next to the forward one (Wengert 1964).

    Args: ``tangents``, layer -> parameter -> array in its shape, for parameters that move; ``dx`` (B, *input shape), None if the input
    does not move; ``shifts``, layer -> (B, *shape), added to the tangent of its output before the activation function; ``values``, what
    ``forward`` returned, if already known. Raises Unsupported for a layer without a forward derivative whose inputs or parameters move.
    """
    values = forward(network, params, x) if values is None else values
    moved: Activations = {} if dx is None else {"input": dx}
    shifts = shifts or {}
    for layer in network:
        y, own = values[layer.name], tangents.get(layer.name, {})
        if own or any(name in moved for name in layer.inputs):
            xs = tuple(values[name] for name in layer.inputs)
            dxs = tuple(moved[name] if name in moved else np.zeros_like(values[name]) for name in layer.inputs)
            moved[layer.name] = kind(layer).jvp(layer, params.get(layer.name, {}), own, dxs, xs, y)
        if layer.name in shifts:
            shift = kind(layer).gate(layer, shifts[layer.name], y)
            moved[layer.name] = moved[layer.name] + shift if layer.name in moved else shift
    return values, {name: moved[name] if name in moved else np.zeros_like(value) for name, value in values.items()}


def require_finite(network: Network) -> None:
    """Raises BadInput, naming the layer, when a parameter is NaN or infinite."""
    for layer in network:
        for name, value in layer.params.items():
            if bad := int(np.count_nonzero(~np.isfinite(value))):
                raise BadInput(f"layer {layer.name!r}, {name}", got=f"{bad} values that are NaN or infinite", allowed="finite values")


def parameters(network: Network, dtype: Any = np.float32) -> Params:
    """A writable copy of the network's parameters."""
    return {layer.name: {name: np.array(value, dtype) for name, value in layer.params.items()} for layer in network.trainable}


def with_parameters(network: Network, params: Params) -> Network:
    """``network`` holding ``params`` as float32."""
    changed = {
        layer.name: replace(layer, params={name: np.ascontiguousarray(value, np.float32) for name, value in params[layer.name].items()})
        for layer in network.trainable
    }
    return network.replacing(changed)
