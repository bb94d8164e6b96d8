"""Calibration and quantisation of a float network to int8 (TFLite 8-bit specification) or int16 (symmetric), as a whole or by layer.

Observed ranges come from running the float network on calibration data, in float64: rounded to the float32 of a scale they are the same on
every machine, whatever order its BLAS adds in. ``Headroom`` widens them for a network that is going to learn. No bias is clipped: where one
would not fit its integers, the scale of its weights is raised.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import NUMERICS, Array, Headroom, Layer, Network, Numeric, Quant
from edgeff.ops import RAW, REAL, forward, further_inputs, kind, parameters, prepend, raw_input, require_finite, sample_shape, split_input
from edgeff.ops.canonical import canonical
from edgeff.ops.convert import converted
from edgeff.ops.dense import accumulator_shift
from edgeff.ops.requantise import Requantise

QMAX: Mapping[str, int] = {"int8": 127, "int16": 32767}
DTYPE: Mapping[str, type] = {"int8": np.int8, "int16": np.int16}
SMALLEST = float(np.finfo(np.float32).tiny)
BIAS_STEPS = 2**30 - 2**8
"""The most steps a quantised bias takes: 30 bits, less what rounding two scales to float32 can add."""


BIAS_STEPS_I64 = 2**45
"""The same of 64 bits, within what a sum of int16 and int8 products may hold."""


def affine(low: float, high: float, numeric: Numeric) -> Quant:
    """The quantisation that spans [low, high] and 0: int8 asymmetric with zero nudged onto an integer, int16 symmetric with zero point 0.

    Scales are float32 values, as files hold them.
    """
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    if numeric == "int16":
        widest = max(-low, high) or 1.0
        return Quant((max(float(np.float32(widest / 32767)), SMALLEST),), 0, dtype="int16")
    scale = max(float(np.float32(((high - low) or 1.0) / 255)), SMALLEST)
    return Quant((scale,), int(np.clip(round(-128 - low / scale), -128, 127)))


def float32_scales(values: Array) -> Array:
    """Positive scales as files hold them: rounded to float32, none below the smallest normal number; float64 of the same shape."""
    return np.maximum(values.astype(np.float32).astype(np.float64), SMALLEST)


def observed_range(values: Array, method: str, percentile: float) -> tuple[float, float]:
    """The range of the calibration values: their extremes, or the two-sided ``percentile`` (99.9 keeps 99.9 % of them)."""
    if method == "minmax":
        return float(values.min()), float(values.max())
    tail = (100.0 - percentile) / 2
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return float(low), float(high)


def quantise_array(values: Array, quant: Quant) -> Array:
    """round(values / scale) + zero point, saturated; ties to even. Float values of any shape -> int8 or int16."""
    limit = QMAX[quant.dtype]
    scaled = np.rint(np.asarray(values, np.float64) / quant.scale[0]) + quant.zero_point
    return np.clip(scaled, -limit - (quant.dtype == "int8"), limit).astype(DTYPE[quant.dtype])


def dequantise_array(values: Array, quant: Quant) -> Array:
    """The real numbers, float32."""
    return ((values.astype(np.float64) - quant.zero_point) * quant.scale[0]).astype(np.float32)


def _weights(layer: Layer, x: Quant, numeric: Numeric, axis: int | None, room: float) -> tuple[dict[str, Array], dict[str, Quant]]:
    """The parameters of ``layer`` in integers and their scales: one along each slice of ``axis`` of the weight, or (None) one in all. A
    bias has 64 bits where an int8 weight reads the int16 ``x``.
    """
    wide = numeric == "int8" and x.dtype == "int16"
    weight = layer.params["weight"].astype(np.float64)
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest: Array = np.abs(weight).max(axis=others) if axis is not None else np.abs(weight).max(keepdims=True).reshape(1)
    scales = float32_scales(np.where(largest > 0, largest, 1.0) * room / QMAX[numeric])
    bias = layer.params["bias"].astype(np.float64) if "bias" in layer.params else None
    x_step = x.scale[0] * (2.0 ** accumulator_shift(weight.size // len(bias)) if bias is not None and numeric == "int16" else 1.0)
    if bias is not None:
        scales = _holding(layer, bias * room, x_step, scales, BIAS_STEPS_I64 if wide else BIAS_STEPS)
    q = np.rint(weight / np.expand_dims(scales, others) if axis is not None else weight / scales[0])
    params: dict[str, Array] = {"weight": np.clip(q, -QMAX[numeric], QMAX[numeric]).astype(DTYPE[numeric])}
    quants = {"weight": Quant(tuple(scales.tolist()), 0, axis, numeric)}
    if bias is not None:
        bias_scales = float32_scales(x_step * scales)
        sums = "int64" if wide else "int32"
        params["bias"] = np.rint(bias / bias_scales).astype(sums)
        quants["bias"] = Quant(tuple(bias_scales.tolist()), 0, None if axis is None else 0, sums)
    return params, quants


def _holding(layer: Layer, bias: Array, x_step: float, scales: Array, most: int) -> Array:
    """The weight ``scales``, raised where the ``bias`` in steps of ``x_step`` times the scale would take more than ``most`` of them.

    A channel that batch normalisation has all but switched off has weights so small that its bias would take more than 30 bits. Its weights
    lose the precision: against such a bias they count for nothing. Raises BadInput, naming the layer, where float32 has no such scale.
    """
    least = np.maximum(np.abs(bias) / most, SMALLEST) / x_step
    if len(scales) == 1:
        least = least.max(keepdims=True)
    if (least > float(np.finfo(np.float32).max)).any():
        raise BadInput(
            f"quantising layer {layer.name!r}",
            got=f"a bias of {np.abs(bias).max():.3g} over inputs in steps of {x_step:.3g}",
            allowed="a bias that 30 bits hold in those steps",
            next_step="calibrate on representative data, or scale the inputs",
        )
    return float32_scales(np.maximum(scales, least))


def quantize(
    network: Network,
    x: Array,
    numeric: Numeric = "int8",
    *,
    per_channel: bool | None = None,
    method: str = "minmax",
    percentile: float = 99.9,
    headroom: Headroom | Mapping[str, Headroom] | None = None,
    learning: Collection[str] = (),
    formats: Mapping[str, Numeric] | None = None,
    weights: Numeric | None = None,
) -> Network:
    """``network`` in integers, its batch normalisation folded into the layers before it.

    Where a layer reads another number format than its own, a ``convert`` layer comes between.

    Args:
        network: float32.
        x: the calibration data, (n, *input shape) float32.
        numeric: ``"int8"`` or ``"int16"``; with ``formats`` also ``"float32"``.
        per_channel: one weight scale an output of a layer instead of one a layer (such a layer cannot learn on the device); None: as TFLite
            does, for convolutions alone.
        method: ``"minmax"``, or ``"percentile"``.
        percentile: the share of the observed values that a range keeps, in (50, 100] per cent.
        headroom: of all layers, or of some by name; None for a network that will only infer.
        learning: the layers that are going to learn; their weights have one scale a layer.
        formats: by name, the number formats of the layers whose format is not ``numeric``.
        weights: ``"int8"`` beside int16 activations, as TFLite files have them (docs/adr/0057), for inference; None: as the activations.
    Raises: BadInput for a network that is quantised already or holds NaN, an empty or non-finite calibration set, or options out of range;
    Unsupported for several inputs of which one is read as it is.
    """
    if network.numerics != ("float32",):
        raise BadInput(
            "quantise",
            got=f"a network that is {' and '.join(network.numerics)} already",
            allowed="a float32 network",
            next_step="start from the float model",
        )
    _check_ways(numeric, formats or {}, weights, method, percentile)
    x = np.asarray(x, np.float32)
    wanted = tuple(sample_shape(network))
    if x.shape[1:] != wanted or len(x) == 0:
        raise BadInput("calibration data", got=f"shape {x.shape}", allowed=f"(n, {', '.join(map(str, wanted))}) with n >= 1")
    if not np.isfinite(x).all():
        raise BadInput(
            "calibration data", got=f"{np.count_nonzero(~np.isfinite(x))} values that are NaN or infinite", allowed="finite values"
        )
    require_finite(network)
    first, rest = split_input(canonical(network))
    if first is not None and (further := further_inputs(network)):
        raise Unsupported(
            f"quantising layer {first.name!r}, {kind(first).name}",
            got=f"the further input {further[0].name!r}, which would be {numeric} beside {kind(first).reads}",
            allowed="one input",
            next_step="leave the layer out, and scale the samples before the network",
        )
    if first is not None:  # its output is the input that has a range, and room for learning
        read = np.asarray(kind(first).forward(first, {}, x), np.float32)
        ways: dict[str, Any] = {"per_channel": per_channel, "method": method, "percentile": percentile, "weights": weights}
        return prepend(
            first, quantize(rest, read, numeric, headroom=headroom, learning=learning, formats=formats, **ways), network.input_shape
        )
    network, formats = converted(canonical(network), numeric, formats or {})
    require_finite(network)  # folding divides by a deviation
    values = forward(network, parameters(network, np.float64), x.astype(np.float64))
    low, high = observed_range(values["input"], "minmax", percentile)
    margins = _margins(network, headroom)
    quants: dict[str, Quant | None] = {"input": None}
    if numeric != "float32":
        margin = _room(headroom, "input").input_margin + margins.get("input", 0.0)
        quants["input"] = RAW[raw_input(network)] if raw_input(network) else affine(low - margin, high + margin, numeric)
    outputs = {layer.inputs[0] for layer in network if kind(layer).probabilities} | {layer.name for layer in network.trainable[-1:]}
    layers: dict[str, Layer] = {}
    for layer in network:
        item, own, room = kind(layer), formats.get(layer.name, numeric), _room(headroom, layer.name)
        below = quants[layer.inputs[0]] if layer.inputs else None
        if own == "float32":
            quants[layer.name], layers[layer.name] = None, layer
            continue
        inputs, output = layer.inputs, below if item.keeps_quant else item.fixed_quant(own, below)
        if item.one_scale:
            sides = [values[name] for name in (*layer.inputs, layer.name)]
            ends = [observed_range(side, method, percentile) for side in sides]
            output = affine(min(low for low, _ in ends), max(high for _, high in ends), own)
            inputs = in_one_scale(layer, network, layers, quants, output)
        if output is None:
            factor = room.output if layer.name in outputs else room.hidden
            low, high = item.calibrated_range(layer, *observed_range(values[layer.name], method, percentile))
            factor, margin = factor if layer.trainable else 1.0, margins.get(layer.name, 0.0)
            output = affine(low * factor - margin, high * factor + margin, own)
        quants[layer.name] = output
        whole = layer if layer.trainable else item.in_integers(layer, output)
        params: Mapping[str, Array] = whole.params
        scales: dict[str, Quant] = {}
        if layer.trainable:
            split = item.per_channel if per_channel is None else per_channel
            axis = item.weight_axis if split and layer.name not in learning else None
            held = weights if weights and own == "int16" else own
            params, scales = _weights(layer, below or REAL, held, axis, room.weights)
        layers[layer.name] = replace(whole, inputs=inputs, params=params, quant=scales | {"output": output})
    metadata = dict(network.metadata) | {"calibration": {"method": method, "samples": len(x), "per_channel": bool(per_channel)}}
    readers = {name for layer in layers.values() for name in layer.inputs}
    kept = tuple(
        layer for layer in layers.values() if layer.inputs or layer.name in readers
    )  # a constant quantised anew leaves the old one
    return replace(network, layers=kept, input_quant=quants["input"], metadata=metadata)


def _check_ways(numeric: Numeric, formats: Mapping[str, Numeric], weights: Numeric | None, method: str, percentile: float) -> None:
    """Raises BadInput for number formats or a calibration that there is not."""
    allowed = NUMERICS if formats else tuple(QMAX)
    if unknown := [repr(value) for value in (numeric, *formats.values()) if value not in allowed]:
        raise BadInput("numeric", got=unknown[0], allowed=", ".join(allowed))
    if weights is not None and (weights, numeric) not in (("int8", "int8"), ("int8", "int16"), ("int16", "int16")):
        raise BadInput("weights", got=f"{weights} beside {numeric} activations", allowed=f"{numeric}, or int8 beside int16 activations")
    if method not in ("minmax", "percentile") or not 50.0 < percentile <= 100.0:
        raise BadInput("calibration", got=f"{method} {percentile:g}", allowed="minmax, or percentile above 50 and at most 100")


def in_one_scale(
    layer: Layer, network: Network, layers: dict[str, Layer], quants: dict[str, Quant | None], output: Quant
) -> tuple[str, ...]:
    """The inputs of ``layer`` once all have the scale ``output``: those that have another are brought to it by layers of their own, which
    join ``layers``; a constant is quantised anew.
    """
    inputs: dict[str, str] = {}
    for name in sorted(layer.inputs, key=lambda name: name != "input" and not network[name].inputs):  # constants stand before their reader
        if quants[name] == output or name in inputs:
            inputs.setdefault(name, name)
            continue
        new, source = f"{layer.name}_{name}", None if name == "input" else network[name]
        while new in layers or any(new == other.name for other in network):
            new += "_"
        if source is not None and not source.inputs:
            layers[new] = replace(kind(source).in_integers(source, output), name=new, quant={"output": output})
        else:
            shape = network.input_shape if source is None else source.shape
            layers[new] = Layer(new, Requantise(), (name,), shape, quant={"output": output})
        quants[new] = output
        inputs[name] = new
    return tuple(inputs[name] for name in layer.inputs)


def _room(headroom: Headroom | Mapping[str, Headroom] | None, name: str) -> Headroom:
    """The room of the layer ``name``, or of the ``"input"``."""
    return headroom.get(name, Headroom()) if isinstance(headroom, Mapping) else headroom or Headroom()


def _margins(network: Network, headroom: Headroom | Mapping[str, Headroom] | None) -> dict[str, float]:
    """What is added around the range of a layer or of the ``"input"``, for a margin of a layer that keeps the range of its input too."""
    rooms = headroom.values() if isinstance(headroom, Mapping) else [headroom or Headroom()]
    margins = {}
    for layer, margin in (item for room in rooms for item in room.margins.items()):
        source = layer
        while source != "input" and kind(network[source]).keeps_quant:
            source = network[source].inputs[0]
        margins[source] = margin
    return margins
