"""Layer kinds: what a node of a network is. One kind a file.

A kind knows its shape and parameters, its fast host mathematics over a batch, and how it is lowered to kernel calls. Parameters travel as
``Params``: layer name -> parameter name -> array; activations as a ``dict``: layer name, or ``"input"`` -> (B, ...) array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Layer, Network, Numeric, Quant
from edgeff.ops.parallel import cached, each, empty
from edgeff.registry import ops as registry

Params = dict[str, dict[str, Array]]
Activations = dict[str, Array]
Named = Mapping[str, Array]
Arrays = tuple[Array, ...]


class LayerKind:
    """The contract of a layer kind. Host mathematics is float and batched: x is (B, *input shape).

    ``op`` is its registered name, ``keeps_quant`` whether its output has its input's quantisation, ``weight_axis`` the axis of its weight
    that counts outputs (per-channel scales lie along it) and ``per_channel`` whether int8 gives each its own scale by default. ``moving``
    are the parameters that are moving averages. ``reads`` is
    the dtype of the network's input where the kind takes no other (audio is ``"int16"`` in every numeric); empty: that of the numeric.
    """

    op: str = ""
    summary: str = ""
    keeps_quant: bool = False
    weight_axis: int = 0
    per_channel: bool = False
    moving: tuple[str, ...] = ()
    reads: str = ""

    def output_shape(self, layer: Layer, inputs: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        """The layer's output shape (no batch axis) from its inputs' shapes."""
        return inputs[0]

    def initial(self, layer: Layer, inputs: tuple[tuple[int, ...], ...], rng: np.random.Generator) -> dict[str, Array]:
        """Fresh float32 parameters; {} for a layer without any."""
        return {}

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        """The layer's output, (B, *shape), from its inputs."""
        raise Unsupported(f"layer kind {self.op!r}", got="forward on the host")

    def gate(self, layer: Layer, delta: Array, y: Array) -> Array:
        """``delta`` (d loss / d y) brought behind the layer's activation function, from its output y."""
        return delta

    def weight_gradient(self, layer: Layer, params: Mapping[str, Array], delta: Array, x: Array) -> dict[str, Array]:
        """The gradient of each parameter, averaged over the batch and summed over positions, from the gated delta and the layer's input."""
        return {}

    def input_gradients(self, layer: Layer, params: Mapping[str, Array], delta: Array, *xs: Array) -> tuple[Array, ...]:
        """d loss / d x for each input, from the gated delta and the inputs."""
        raise Unsupported(
            f"layer kind {self.op!r}",
            got="a gradient through it",
            allowed="layers with an input gradient",
            next_step="use a layer-local rule",
        )

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        """The exact directional derivative of ``forward`` (forward mode): dy, (B, *shape), along tangents of parameters and inputs.

        ``tangents`` has an array in a parameter's shape for those that move; {} moves none. ``dxs`` are the tangents of the inputs xs, y
        their output. Given what ``forward_training`` saved, it is the derivative of that (batch normalisation: through the batch's own
        statistics), else that of ``forward`` (the moving ones).
        """
        raise Unsupported(f"layer kind {self.op!r}", got="a forward derivative", allowed="layers with one", next_step="use another rule")

    def forward_training(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> tuple[Array, Any]:
        """The layer's output while it trains, and what ``backward`` wants to see again; by default ``forward`` and nothing."""
        return self.forward(layer, params, *xs), None

    def backward(
        self, layer: Layer, params: Mapping[str, Array], delta: Array, y: Array, xs: tuple[Array, ...], saved: Any, *, wanted: bool
    ) -> tuple[tuple[Array, ...], dict[str, Array]]:
        """d loss / d x of each input (none unless ``wanted``) and the gradients, from delta = d loss / d y, which stays as it is.

        A gradient called like a parameter in ``moving`` is no gradient but what the batch says of that statistic.
        """
        delta = self.gate(layer, delta, y)
        deltas = self.input_gradients(layer, params, delta, *xs) if wanted else ()
        return deltas, self.weight_gradient(layer, params, delta, xs[0])

    def lower(self, build: Any, layer: Layer, *xs: Any) -> Any:
        """Emits the forward call on the inputs' values and returns the output's (``build`` is a ``edgeff.program.lower.Builder``)."""
        raise Unsupported(f"layer kind {self.op!r}", got="lowering")

    def lower_update(self, build: Any, layer: Layer, delta: Any, x: Any) -> None:
        """Emits the update of the layer's parameters in place; nothing for a layer without parameters."""
        if layer.trainable:
            raise Unsupported(
                f"learning in layer {layer.name!r}, {layer.op}",
                got="no update kernel",
                next_step="let the layers above it learn (rule frozen)",
            )

    def lower_input_gradients(self, build: Any, layer: Layer, delta: Any, *xs: Any) -> tuple[Any, ...]:
        """Emits d loss / d x for each input from the gated delta and the inputs' values; returns theirs."""
        raise Unsupported(f"layer kind {self.op!r}", got="a gradient through it on the device", next_step="use a layer-local rule")

    def lower_jvp(self, build: Any, layer: Layer, dxs: tuple[Any, ...], xs: tuple[Any, ...]) -> Any:
        """Emits the tangent of the output before its activation function, parameters held still, and returns its value.

        ``dxs`` are the tangents of the inputs' values xs, None for one that stands still; at least one moves. The value is the caller's to
        change in place (a reshape of dxs aside).
        """
        raise Unsupported(
            f"layer {layer.name!r}, {self.op}",
            got=f"a forward derivative on the device in {layer.numeric}",
            allowed="layers with one",
            next_step="use another rule",
        )

    def calibrated_range(self, layer: Layer, low: float, high: float) -> tuple[float, float]:
        """The real range the quantised output must span, from the observed one."""
        return low, high

    def fixed_quant(self, numeric: Numeric) -> Quant | None:
        """The output's quantisation where the kind fixes it itself; None where calibration decides."""
        return None


def kind(layer: Layer) -> LayerKind:
    """The registered kind of ``layer``; BadInput for an unknown op."""
    found: LayerKind = registry[layer.op]
    return found


SAMPLES = Quant((1.0,), 0, dtype="int16")
"""The quantisation of an input that is not quantised: its steps are the samples themselves."""


def split_input(network: Network) -> tuple[Layer | None, Network]:
    """The layer that turns raw samples into what the network behind it reads, and that network; None where there is no such layer.

    Rules, calibration and learning concern the network behind it alone. Raises Unsupported where another layer reads the samples as well.
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


def behind(first: Layer, network: Network, input_shape: tuple[int, ...]) -> Network:
    """``network`` reading the output of ``first``, which reads raw samples of ``input_shape``: what ``split_input`` takes apart."""
    quant = {} if network.input_quant is None else {"output": network.input_quant}
    raw = None if network.input_quant is None else SAMPLES
    rest = _reading(network.layers, "input", first.name)
    return replace(network, input_shape=input_shape, input_quant=raw, layers=(replace(first, quant=quant), *rest))


def _reading(layers: tuple[Layer, ...], old: str, new: str) -> tuple[Layer, ...]:
    """``layers`` without the one called ``old``; what read it reads ``new``."""
    return tuple(
        replace(layer, inputs=tuple(new if name == old else name for name in layer.inputs)) for layer in layers if layer.name != old
    )


def raw_input(network: Network) -> str:
    """The dtype of the raw samples that the network starts from (``"int16"`` for audio); empty where it reads its numeric."""
    return max((kind(layer).reads for layer in network if "input" in layer.inputs), default="")


def forward(network: Network, params: Params, x: Array) -> Activations:
    """Every layer's output for a batch x (B, *input shape), in float."""
    values: Activations = {"input": x}
    for layer in network:
        values[layer.name] = kind(layer).forward(layer, params.get(layer.name, {}), *(values[name] for name in layer.inputs))
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
    """Every layer's output for a batch x, and its exact directional derivative: one pass beside the forward one (Wengert 1964).

    Args: ``tangents``, layer -> parameter -> array in its shape, for parameters that move; ``dx`` (B, *input shape), None where the input
    stands still; ``shifts``, layer -> (B, *shape), what moves its output besides, before the activation function; ``values``, what
    ``forward`` returned, where that is known. Raises Unsupported for a layer that has no forward derivative and something moves.
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


ACTIVATIONS = ("none", "relu", "relu6")
SMALL = 1 << 12


def activate(layer: Layer, y: Array) -> Array:
    """The layer's activation function applied to y, which may be overwritten."""
    activation = layer.attrs.get("activation", "none")
    if activation == "relu":
        # NumPy is slow over a scalar
        return np.maximum(y, np.zeros(y.shape[-2:], y.dtype) if y.size > SMALL else 0, out=y)
    return np.clip(y, 0, 6, out=y) if activation == "relu6" else y


def gated(layer: Layer, delta: Array, y: Array) -> Array:
    """``delta`` where the layer's activation function lets it through, else 0; from its output y."""
    activation = layer.attrs.get("activation", "none")
    if activation == "none":
        return delta
    through = empty(delta.shape, delta.dtype)

    def write(part: slice) -> None:
        np.multiply(delta[part], (y[part] > 0) & (y[part] < 6) if activation == "relu6" else y[part] > 0, out=through[part])

    each(write, cached(delta, y))
    return through


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
