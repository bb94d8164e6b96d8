"""What every operator is held to: its record comes back from a file, its derivatives are exact, its calls compute what its forward does,
the C equals the twin, and a model file holds it or the operator says why not.

A check makes a network with one layer of it, from its ``example``: attributes without a default have small values where that has none, and
the input has the first of SHAPES that the operator takes. What an operator refuses (no kernel in int8, no gradient) is not asked of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from edgeff import registry
from edgeff.contracts.check import Check, require
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, CheckFailed, EdgeffError, Unsupported
from edgeff.formats import from_onnx, from_tflite, operators
from edgeff.formats.onnx.writer import to_onnx
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Attr, Layer, Network, Numeric
from edgeff.networks import initialised
from edgeff.ops import Operator, forward, kind, make, parameters, sample_shape
from edgeff.ops.add import Add
from edgeff.ops.attributes import OneOf, domains
from edgeff.ops.tanh import Tanh
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.verify.explain import float_tolerance

SHAPES = ((6,), (9, 4), (8, 7, 4))
SAMPLES = 5
STEP, CLOSE = 1e-6, 1e-5
"""Of a central difference in float64, whose own error is a few times 1e-9 of the values."""
TITLES: Mapping[str, str] = {"onnx": "ONNX", "tflite": "TFLite"}


def example(operator: type[Operator], *, after_another: bool = False) -> Network:
    """A network with a layer of the operator, float32 and seeded, alone or ``after_another``. Raises CheckFailed where nothing here fits.

    An operator that reads several activations reads the other layer's too.
    """
    refused: EdgeffError | None = None
    shapes = [operator.example.inputs] if operator.example.inputs else SHAPES
    for shape in shapes:
        if operator.input_axes in (None, len(shape)):
            try:
                return _network(operator, shape, after_another=after_another)
            except EdgeffError as error:
                refused = error
    raise CheckFailed(
        f"a layer of operator {operator.name}",
        got=str(refused),
        allowed=f"inputs of shape {', '.join(map(str, shapes))}",
        next_step="give the class an example that fits",
    )


def _network(operator: type[Operator], shape: tuple[int, ...], *, after_another: bool) -> Network:
    before = Layer("before", Tanh(), ("input",), shape)
    inputs = ("before",) if operator.arity == 1 and after_another else ("input", *["before"] * (operator.arity - 1))[: operator.arity]
    biased: Mapping[str, Attr] = {"bias": True} if operator.weighted and "bias" in domains(operator) else {}
    record = make(operator, {**_required(operator), **operator.example.attributes, **biased})
    layer = Layer("layer", record, inputs, operator.example.output or shape)
    layer = replace(layer, shape=record.output_shape(layer, (shape,) * operator.arity))
    network = initialised(Network("example", shape, (before, layer) if "before" in inputs else (layer,)), 0)
    layer = network["layer"]
    if "bias" in layer.params:
        layer.params["bias"][:] = np.random.default_rng(1).normal(scale=0.1, size=layer.params["bias"].shape)
    return network


def _required(operator: type[Operator]) -> dict[str, Attr]:
    """Small values for the attributes that have no default."""
    return {item.name: _value(operator, item.name) for item in fields(operator) if item.default is MISSING}


def _value(operator: type[Operator], name: str) -> Attr:
    base, limits = domains(operator)[name]
    choices = [choice for limit in limits if isinstance(limit, OneOf) for choice in limit.names()]
    candidates: Sequence[Attr] = choices or {int: (2, 1, 0), float: (0.125, 1.0), bool: (False,)}.get(base, ("",))
    return next((value for value in candidates if all(value in limit for limit in limits)), candidates[0])


def samples(network: Network, count: int = SAMPLES) -> Array:
    """Random inputs (count, *input shape) float32; whole numbers where the network reads audio."""
    x = np.random.default_rng(2).normal(size=(count, *sample_shape(network))).astype(np.float32)
    return np.rint(3000.0 * x) if kind(network.layers[-1]).reads == "int16" else x


def says_what_it_is(operator: type[Operator]) -> None:
    """It is registered under its name, and has a summary and a docstring."""
    what = f"operator {operator.name}"
    require(registry.ops[operator.name] is operator, what, got="another operator of that name")
    for part in ("summary", "__doc__"):
        require(bool(vars(operator).get(part)), what, got=f"no {part.strip('_')}")


def comes_back_as_json(operator: type[Operator]) -> None:
    """Its attributes are written as JSON and read again as the same record, and an unknown one is refused."""
    record = kind(example(operator).layers[-1])
    again = make(operator.name, json.loads(json.dumps(record.attributes)))
    require(again == record, f"operator {operator.name} read from its attributes", got=again, allowed=record)
    try:
        make(operator.name, {**record.attributes, "no such attribute": 1})
    except BadInput:
        return
    raise CheckFailed(f"operator {operator.name}", got="no refusal of an unknown attribute")


def has_the_shape_it_says(operator: type[Operator]) -> None:
    """Its output has the layer's shape, is finite and the same each time; a sample's does not depend on the others in its batch."""
    network = example(operator)
    x, what = samples(network).astype(np.float64), f"forward of operator {operator.name}"
    params = parameters(network, np.float64)
    y = forward(network, params, x)["layer"]
    require(y.shape == (len(x), *network.layers[-1].shape), what, got=y.shape, allowed=(len(x), *network.layers[-1].shape))
    require(bool(np.isfinite(y).all()), what, got="values that are NaN or infinite")
    require(y.tobytes() == forward(network, params, x)["layer"].tobytes(), what, got="another output for the same input")
    alone = forward(network, params, x[:1])["layer"]
    same = np.allclose(alone, y[:1], rtol=1e-9, atol=1e-9)  # a product of matrices adds in another order where it has one row
    require(bool(same), what, got="another output for a sample alone than in a batch")


def has_exact_derivatives(operator: type[Operator]) -> None:
    """In float64 its ``backward`` and its ``jvp`` are the central difference of ``forward_training``, where it has them."""
    network, rng = example(operator), np.random.default_rng(3)
    layer, item = network.layers[-1], kind(network.layers[-1])
    params = parameters(network, np.float64).get(layer.name, {})
    x = samples(network).astype(np.float64)
    xs = tuple(x if name == "input" else np.tanh(x) for name in layer.inputs)
    dxs = tuple(rng.normal(size=each.shape) for each in xs)
    moves = {name: rng.normal(size=value.shape) for name, value in params.items() if name not in item.moving}

    def at(step: float) -> Array:
        own = {name: value + step * moves.get(name, 0.0) for name, value in params.items()}
        return item.forward_training(layer, own, *(each + step * dx for each, dx in zip(xs, dxs, strict=True)))[0]

    y, saved = item.forward_training(layer, params, *xs)
    delta = rng.normal(size=y.shape)

    def backwards() -> tuple[float, float]:
        below, gradients = item.backward(layer, params, delta, y, xs, saved, wanted=True)
        pairs = [*zip(below, dxs, strict=True), *((len(x) * gradients[name], move) for name, move in moves.items())]
        return sum(float(np.sum(g * v)) for g, v in pairs), sum(float(np.abs(g * v).sum()) for g, v in pairs)

    def forwards() -> tuple[float, float]:
        moved = delta * item.jvp(layer, params, moves, dxs, xs, y, saved)
        return float(moved.sum()), float(np.abs(moved).sum())

    for name, derivative in (("backward", backwards), ("jvp", forwards)):
        try:
            found, size = derivative()
        except Unsupported:
            continue
        expected = float(np.sum(delta * (at(STEP) - at(-STEP)))) / (2 * STEP)
        close = abs(found - expected) <= CLOSE * max(1.0, size)
        require(close, f"{name} of operator {operator.name} along a direction", got=f"{found:.9g}", allowed=f"{expected:.9g}")


def keeps_its_traits(operator: type[Operator]) -> None:
    """What its traits claim holds for its outputs."""
    network, what = example(operator), f"operator {operator.name}"
    x = samples(network, 1)

    def run(value: Array) -> Array:
        return forward(network, parameters(network), value)["layer"]

    y = run(x)
    require(operator.weighted == (network.layers[-1].trainable and not operator.moving), f"{what}, weighted", got=operator.weighted)
    require(not operator.keeps_sign or run(np.abs(x)).min() >= 0, f"{what}, keeps_sign", got="a negative output of inputs that are not")
    require(not operator.keeps_zero or not run(0 * x).any(), f"{what}, keeps_zero", got="an output of 0 that is not 0")
    require(not operator.probabilities or abs(y.sum() - 1.0) < 1e-5, f"{what}, probabilities", got=f"a sum of {y.sum():.6g}", allowed=1.0)
    same_size = prod(y.shape) == prod(x.shape)
    require(not (operator.keeps_places or operator.works_in_place) or same_size, f"{what}, keeps_places", got=y.shape, allowed=x.shape)
    if not (operator.elementwise or operator.channelwise):
        return
    place = tuple(int(size) // 2 for size in x.shape)
    moved = x.copy()
    moved[place] += 3.0
    changed, width = np.argwhere(run(moved) != y), y.shape[-1] // x.shape[-1]
    apart = all(index[-1] // width == place[-1] for index in changed)
    require(apart, f"{what}, elementwise or channelwise", got="a change in another channel than the input's")
    local = not operator.elementwise or all(tuple(index) == place for index in changed)
    require(local, f"{what}, elementwise", got="a change in another place than the input's")


def _deployed(operator: type[Operator], numeric: Numeric, *, after_another: bool = False) -> Deployment | None:
    """A program of the example, None where the operator is not lowered in ``numeric``."""
    network = example(operator, after_another=after_another)
    if not operator.arity:  # something has to read the input
        layer = network.layers[-1]
        network = replace(network, layers=(layer, Layer("sum", Add(), ("input", layer.name), layer.shape)))
    try:
        return deploy(network, samples(network), numeric=numeric)
    except Unsupported:
        return None


def _scores(deployment: Deployment, x: Array) -> Array:
    """What the twins make of samples x."""
    twin = Interpreter(deployment.program)
    found = []
    for sample in deployment.inputs(x):
        twin.predict(sample)
        found.append(twin.output().reshape(-1))
    return np.array(found)


def computes_its_forward(operator: type[Operator]) -> None:
    """In float32 its calls compute what ``forward`` does, but for the rounding of float32."""
    deployment = _deployed(operator, "float32")
    if deployment is None:
        return
    network = deployment.network
    x = samples(network)
    expected = forward(network, parameters(network, np.float64), x.astype(np.float64))[network.layers[-1].name].reshape(len(x), -1)
    difference, allowed = float(np.abs(_scores(deployment, x) - expected).max()), float_tolerance(network, x)
    require(difference <= allowed, f"lower of operator {operator.name} against forward", got=f"{difference:.3g}", allowed=f"{allowed:.3g}")


def equals_its_twin(numeric: Numeric, operator: type[Operator]) -> None:
    """Its C, compiled for this machine, makes what its twins make, to the bit."""
    deployment = _deployed(operator, numeric)
    if deployment is None:
        return
    x = samples(deployment.network)
    actual = HostTarget(deployment.program).predict_many(deployment.inputs(x))[1]
    differing = int((actual.view(np.uint8) != _scores(deployment, x).view(np.uint8)).sum())
    require(not differing, f"C of operator {operator.name} in {numeric}", got=f"{differing} bytes that are not its twin's", allowed="none")


def comes_back_from_a_file(form: str, operator: type[Operator]) -> None:
    """A file of the format holds a layer of it, which is read again and computes the same to the bit; or the operator says why not."""
    what = f"operator {operator.name} in {TITLES[form]} files"
    writes, reasons = (dict(operators.parts(form, name)) for name in ("write", "REFUSED"))
    one = (operator.name in writes) != (operator.name in reasons)
    require(one, what, got="not one of the two", allowed=f"write, or REFUSED with the reason, in its {form}.py")
    if operator.name in reasons:
        require(len(str(reasons[operator.name]).split()) > 3, what, got=repr(reasons[operator.name]), allowed="a sentence for the user")
        return
    numerics: tuple[Numeric, ...] = ("float32", "int8")
    for numeric in numerics:
        deployment = _deployed(operator, numeric, after_another=not operator.reads)
        if deployment is None:
            continue
        try:
            data = _WRITERS[form](deployment.network)
        except Unsupported:
            continue
        again = deploy(_READERS[form](data))
        x = samples(deployment.network)
        same = _scores(again, x).tobytes() == _scores(deployment, x).tobytes()
        require(same, f"{what}, {numeric}", got="other outputs of the network read again")


_WRITERS: Mapping[str, Callable[[Network], bytes]] = {
    "onnx": lambda network: to_onnx(network).SerializeToString(),
    "tflite": to_tflite,
}
_READERS: Mapping[str, Callable[[Any], Network]] = {"onnx": from_onnx, "tflite": from_tflite}
_PROGRAMS: tuple[Numeric, ...] = ("float32", "int8")

CHECKS: Sequence[Check[type[Operator]]] = (
    Check("it says what it is", says_what_it_is),
    Check("its attributes come back from JSON", comes_back_as_json),
    Check("its output has the shape it says", has_the_shape_it_says),
    Check("its derivatives are exact", has_exact_derivatives),
    Check("its traits hold", keeps_its_traits),
    Check("its calls compute what forward does", computes_its_forward),
    *(Check(f"its C is its twin to the bit in {numeric}", partial(equals_its_twin, numeric)) for numeric in _PROGRAMS),
    *(
        Check(f"{title} files give it back to the bit, or it says why not", partial(comes_back_from_a_file, form))
        for form, title in TITLES.items()
    ),
)
"""Every check of an operator."""
