"""Network + rule + numeric -> Program: the straight lines of kernel calls that everything else runs, costs, plans or prints.

A rule composes calls through a ``Builder`` and never sees the numeric: the builder picks the kernel's variant and turns real factors into
multipliers and shifts. Refused: momentum and dropout on the device, per-channel weights that shall learn, factors that leave the fixed-point range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from edgeff import registry
from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Attr, Call, Layer, Network, Numeric, Program, Quant, Role, Tensor
from edgeff.kernels import check_attrs
from edgeff.kernels.arithmetic import feedback_signs, multiplier_and_shift, stream_key
from edgeff.layers import kind
from edgeff.layers.label import NEUTRAL, ON

SUFFIX: Mapping[str, str] = {"float32": "f32", "int16": "i16", "int8": "i8"}


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor as a rule sees it: its name, shape and dtype, and for integers the meaning of one step."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 1.0
    zero_point: int = 0

    @property
    def elements(self) -> int:
        return prod(self.shape)


class Builder:
    """Composes the two lines of a program. A rule's ``lower`` calls these methods; each emits kernel calls into the current line.

    ``x`` is the input, ``label`` the class (int32), ``layers`` the network's layers in order, ``settings`` the rule's hyper-parameters.
    """

    def __init__(self, network: Network, rule: str, settings: Any, seed: int, target: str, stochastic: bool) -> None:
        self.network, self.rule_name, self.settings, self.seed = network, rule, settings, seed
        self.numeric: Numeric = network.numeric
        self.suffix = SUFFIX[self.numeric]
        self.layers = network.layers
        self.lr = float(getattr(settings, "lr", 0.0))
        self.stochastic = stochastic
        self.target = target
        self._tensors: dict[str, Tensor] = {}
        self._values: dict[str, Value] = {}
        self._lines: dict[str, list[Call]] = {"infer": [], "learn": []}
        self._line = "infer"
        self._learning = False
        self.x = self._io("input", network.input_shape, self.numeric, "input", network.input_quant)

    # ---------------------------------------------------------------- lines and tensors

    def begin(self, line: str) -> None:
        """From here on calls go to ``infer`` or ``learn``."""
        self._line = line
        self._learning = line == "learn"

    def _io(self, name: str, shape: tuple[int, ...], dtype: str, role: Role, quant: Quant | None) -> Value:
        return self._add(Tensor(name, shape, dtype, role, None, quant), quant.scale[0] if quant else 1.0)

    def _add(self, tensor: Tensor, scale: float = 1.0) -> Value:
        self._tensors[tensor.name] = tensor
        value = Value(tensor.name, tensor.shape, tensor.dtype, scale, tensor.quant.zero_point if tensor.quant else 0)
        self._values[tensor.name] = value
        return value

    @property
    def label(self) -> Value:
        """The class of the sample, int32 of shape (1,), written by the caller of ``learn``."""
        return self._values.get("label") or self._io("label", (1,), "int32", "label", None)

    @property
    def step(self) -> Value:
        """The count of steps so far, uint32 of shape (1,)."""
        return self._values.get("step") or self._add(Tensor("step", (1,), "uint32", "state"))

    @property
    def rate(self) -> Value:
        """What the learning rate is multiplied by now, uint32 in units of 2**-16, shape (1,)."""
        one = np.array([1 << 16], np.uint32)
        return self._values.get("rate") or self._add(Tensor("rate", (1,), "uint32", "variable", one))

    def activation(
        self,
        name: str,
        shape: Sequence[int],
        *,
        dtype: str | None = None,
        quant: Quant | None = None,
        scale: float | None = None,
        layer: str = "",
    ) -> Value:
        """A new tensor in the arena, named after ``name`` and unique; dtype the numeric's unless given, its meaning by ``quant`` or ``scale``."""
        base = f"{self._line}.{name}"
        unique, count = base, 1
        while unique in self._tensors:
            count += 1
            unique = f"{base}.{count}"
        if scale is not None and quant is None:
            quant = Quant((scale,), 0)
        tensor = Tensor(unique, tuple(shape), dtype or self.numeric, "activation", None, quant, layer)
        return self._add(tensor, quant.scale[0] if quant else 1.0)

    def constant(self, name: str, data: Array, quant: Quant | None = None, layer: str = "") -> Value:
        """An array in flash; the same name gives the same tensor."""
        if name in self._values:
            return self._values[name]
        return self._add(Tensor(name, data.shape, str(data.dtype), "constant", data, quant, layer), quant.scale[0] if quant else 1.0)

    def parameter(self, layer: Layer, name: str) -> Value | None:
        """The value of a layer's parameter, None where it has none (a missing bias). It stays in flash unless some call writes it."""
        if name not in layer.params:
            return None
        return self.constant(f"{layer.name}.{name}", layer.params[name], layer.quant.get(name), layer.name)

    # ---------------------------------------------------------------- calls

    def call(
        self,
        kernel: str,
        outputs: Sequence[Value],
        inputs: Sequence[Value | None],
        attrs: Mapping[str, Attr],
        layer: Layer | None = None,
        stage: str = "forward",
    ) -> None:
        """Emits one call; an absent input is None. Attributes are checked against the kernel's prototype."""
        item = registry.kernels[kernel]
        check_attrs(item, attrs)
        ordered = {p.name: attrs[p.name] for p in item.attrs}
        names = tuple(v.name if v is not None else "" for v in inputs)
        if len(outputs) + len(names) != len(item.pointers):
            raise BadInput(f"call of {kernel}", got=f"{len(outputs) + len(names)} tensors", allowed=f"{len(item.pointers)}")
        self._lines[self._line].append(Call(kernel, tuple(v.name for v in outputs), names, ordered, layer.name if layer else self.rule_name, stage))

    def key(self, *names: str) -> int:
        """The random stream of a call site: a function of the seed and the names alone."""
        return stream_key(self.seed, *names)

    def fixed_point(self, real: float, what: str) -> tuple[int, int]:
        """A real factor >= 0 as a multiplier and a shift. Unsupported when it is 2**30 or more: the scales are too far apart."""
        if not 0 <= real < 2.0**30:
            raise Unsupported(what, got=f"a rescaling factor of {real:.3g}", allowed="[0, 2**30)", next_step="calibrate on representative data")
        return multiplier_and_shift(real)

    def multipliers(self, layer: Layer, x_scale: float, y_scale: float, factor: float) -> tuple[Value, Value, bool]:
        """The requantisation of a layer's sums, ``x_scale * w_scale * factor / y_scale``: two int32 constants and whether they are per channel."""
        quant = layer.quant["weight"]
        reals = x_scale * quant.scales() / y_scale * factor
        pairs = [self.fixed_point(float(real), f"requantisation of layer {layer.name!r}") for real in reals]
        multiplier = self.constant(f"{layer.name}.multiplier", np.array([m for m, _ in pairs], np.int32), layer=layer.name)
        shift = self.constant(f"{layer.name}.shift", np.array([s for _, s in pairs], np.int32), layer=layer.name)
        return multiplier, shift, quant.per_channel

    # ---------------------------------------------------------------- what rules compose

    def forward(self, layer: Layer, x: Value) -> Value:
        """The layer applied to x."""
        return self._value_of(kind(layer).lower(self, layer, x))

    def _value_of(self, value: Value) -> Value:
        return self._values[value.name]

    def run(self, x: Value) -> dict[str, Value]:
        """The whole network applied to x: every layer's value by name, with ``"input"``."""
        values = {"input": x}
        for layer in self.layers:
            values[layer.name] = self.forward(layer, values[layer.inputs[0]])
        return values

    def error(self, output: Value) -> Value:
        """e = o - t: against the label's one-hot vector, or against the input where the network reproduces it."""
        n = output.elements
        if self.target == "input":
            return self.residual(output, self.x)
        if self.numeric == "float32":
            e = self.activation("error", (n,))
            self.call("eff_error_f32", [e], [output, self.label], {"n": n}, stage="error")
            return e
        e = self.activation("error", (n,), dtype="int16", scale=output.scale)
        attrs = {"n": n, "one": round(1.0 / output.scale)} | ({"p_zero": output.zero_point} if self.numeric == "int8" else {})
        self.call(f"eff_error_{self.suffix}", [e], [output, self.label], attrs, stage="error")
        return e

    def residual(self, a: Value, c: Value) -> Value:
        """a - c for tensors of different scales."""
        n = a.elements
        if self.numeric == "float32":
            return self.difference(a, c)
        scale = 2.0 * max(a.scale, c.scale) / (128.0 if self.numeric == "int8" else 1.0)
        d = self.activation("error", (n,), dtype="int16", scale=scale)
        attrs: dict[str, Attr] = {"n": n}
        for side, value in (("a", a), ("c", c)):
            attrs[f"{side}_multiplier"], attrs[f"{side}_shift"] = self.fixed_point(value.scale / scale, "the error's scale")
            if self.numeric == "int8":
                attrs[f"{side}_zero"] = value.zero_point
        self.call(f"eff_residual_{self.suffix}", [d], [a, c], attrs, stage="error")
        return d

    def difference(self, a: Value, c: Value) -> Value:
        """a - c for two activations of one layer (one scale)."""
        n = a.elements
        d = self.activation("difference", (n,), dtype="float32" if self.numeric == "float32" else "int16", scale=a.scale)
        self.call(f"eff_difference_{self.suffix}", [d], [a, c], {"n": n}, stage="difference")
        return d

    def gate(self, delta: Value, h: Value, layer: Layer) -> None:
        """delta *= relu'(h) in place, where the layer has a ReLU."""
        if layer.attrs.get("activation") == "relu":
            attrs = {"n": h.elements} | ({"h_zero": h.zero_point} if self.numeric == "int8" else {})
            self.call(f"eff_relu_gate_{self.suffix}", [delta], [h], attrs, layer, "backward")

    def input_gradient(self, layer: Layer, delta: Value) -> Value:
        """d loss / d (layer's input)."""
        return self._value_of(kind(layer).lower_input_gradient(self, layer, delta))

    def update(self, layer: Layer, delta: Value, x: Value, factor: float = 1.0) -> None:
        """The layer's parameters -= factor * lr * (gradient from delta and the layer's input x), in place."""
        lr = self.lr
        self.lr = factor * lr
        kind(layer).lower_update(self, layer, delta, x)
        self.lr = lr

    def copy(self, x: Value) -> Value:
        """A copy of x."""
        y = self.activation("copy", x.shape, dtype=x.dtype, quant=self._tensors[x.name].quant)
        self.call("eff_copy", [y], [x], {"n_bytes": self._tensors[x.name].size_bytes}, stage="feedback")
        return y

    def _feedback_matrix(self, name: str, n: int, n_e: int, scale: float) -> Value:
        """The stored feedback matrix: the generated one's very values, in flash (float32, or int8 signs with a scale)."""
        signs = feedback_signs(n, n_e, self.key("feedback", name))
        if self.numeric == "float32":
            return self.constant(f"{name}.feedback", signs.astype(np.float32) * np.float32(scale))
        return self.constant(f"{name}.feedback", signs * np.int8(127), Quant((scale / 127,)))

    def feedback(self, name: str, e: Value, scale: float, *, onto: Value | None = None, n: int = 0, stored: bool = False, largest: float = 2.0) -> Value:
        """F e for the fixed matrix F of entries +-scale called ``name``: added onto a value in place, or (of n entries) as a new delta.

        ``largest`` bounds sum |e|: an integer delta spans ``scale * largest``.
        """
        n, n_e = onto.elements if onto else n, e.elements
        f = self._feedback_matrix(name, n, n_e, scale) if stored else None
        if self.numeric == "float32":
            y = onto or self.activation("delta", (n,))
            sizes: dict[str, Attr] = {"n": n, "n_e": n_e, "add": int(onto is not None)}
            if f is not None:
                self.call("eff_feedback_table_f32", [y], [e, f], sizes, stage="feedback")
            else:
                self.call("eff_feedback_f32", [y], [e], sizes | {"key": self.key("feedback", name), "scale": scale}, stage="feedback")
            return y
        if stored and n_e > 516:
            raise Unsupported("a stored feedback matrix in integers", got=f"{n_e} errors", allowed="at most 516", next_step="generate it (feedback=generated)")
        y = onto or self.activation("delta", (n,), dtype="int16", scale=scale * largest / 32767)
        step = f.scale if f is not None else scale
        multiplier, shift = self.fixed_point(step * e.scale / y.scale, f"the feedback {name!r}")
        attrs: dict[str, Attr] = {"n": n, "n_e": n_e, "multiplier": multiplier, "shift": shift}
        what = f"add_{self.suffix}" if onto else "delta_i16"
        if f is not None:
            self.call(f"eff_feedback_table_{what}", [y], [e, f], attrs, stage="feedback")
        else:
            self.call(f"eff_feedback_{what}", [y], [e], attrs | {"key": self.key("feedback", name)}, stage="feedback")
        return y

    def _quantised(self, x: Value, real: float) -> float | int:
        if self.numeric == "float32":
            return real
        low, high = (-128, 127) if self.numeric == "int8" else (-32767, 32767)
        return int(np.clip(round(real / x.scale) + x.zero_point, low, high))

    def embed(self, layer: Layer, x: Value, label: Value) -> Value:
        """The output of a ``label`` layer: the label's entries, then x; a negative label gives the neutral entries."""
        classes, n = int(layer.attrs["classes"]), x.elements
        y = self.activation(layer.name, (classes + n,), quant=self._tensors[x.name].quant, layer=layer.name)
        real = {"on": float(layer.attrs.get("on", ON)), "off": 0.0, "neutral": float(layer.attrs.get("neutral", NEUTRAL))}
        attrs: dict[str, Attr] = {"classes": classes, "n": n} | {name: self._quantised(x, value) for name, value in real.items()}
        self.call(f"eff_embed_label_{self.suffix}", [y], [x, label], attrs, layer, "label")
        return y

    def class_number(self, value: int, into: Value | None = None) -> Value:
        """An int32 of shape (1,) that holds ``value``."""
        number = into or self.activation("class", (1,), dtype="int32")
        self.call("eff_set_label", [number], [], {"value": value}, stage="label")
        return number

    def wrong_label(self, classes: int) -> Value:
        """A class drawn uniformly from those that are not the label."""
        wrong = self.activation("wrong", (1,), dtype="int32")
        self.call("eff_wrong_label", [wrong], [self.label, self.step], {"classes": classes, "key": self.key("negative")}, stage="label")
        return wrong

    def _goodness_attrs(self, h: Value) -> dict[str, Attr]:
        n = h.elements
        attrs: dict[str, Attr] = {"n": n}
        if self.numeric != "float32":
            steps = 2.0**32 if self.numeric == "int16" else 2.0**16
            attrs["multiplier"], attrs["shift"] = self.fixed_point(h.scale**2 / n * steps, "the goodness")
        if self.numeric == "int8":
            attrs["h_zero"] = h.zero_point
        return attrs

    def ff_delta(self, h: Value, theta: float, sign: int) -> Value:
        """d loss / d h of Forward-Forward's local loss n / 2 softplus(sign (theta - mean(h^2)))."""
        n = h.elements
        scale = None if self.numeric == "float32" else h.scale / (128.0 if self.numeric == "int8" else 1.0)
        d = self.activation("delta", (n,), dtype="float32" if self.numeric == "float32" else "int16", scale=scale)
        value: float | int = theta if self.numeric == "float32" else round(theta * 2**16)
        self.call(f"eff_ff_delta_{self.suffix}", [d], [h], self._goodness_attrs(h) | {"theta": value, "sign": sign}, stage="error")
        return d

    def scores(self, n: int) -> Value:
        """A vector of goodnesses, one a class."""
        dtype = "float32" if self.numeric == "float32" else "int32"
        return self.activation("scores", (n,), dtype=dtype, scale=None if dtype == "float32" else 2.0**-16)

    def goodness(self, scores: Value, h: Value, index: int, add: bool) -> None:
        """scores[index] = mean(h^2), or += with ``add``."""
        self.call(f"eff_goodness_{self.suffix}", [scores], [h], self._goodness_attrs(h) | {"index": index, "add": int(add)}, stage="error")

    def advance(self, period: int, factor: float) -> None:
        """Ends a learning step: counts it, and scales the rate by ``factor`` after every ``period`` steps (0: never)."""
        self.call("eff_advance", [self.step, self.rate], [], {"period": period, "factor": round(factor * 2**16)}, stage="update")

    # ---------------------------------------------------------------- the end

    def program(self, output: Value, classes: bool) -> Program:
        """The finished program; parameters that a call writes become variables, the others stay constants."""
        self.begin("infer")
        prediction = None
        if classes:
            prediction = self.activation("prediction", (1,), dtype="int32")
            suffix = {"float32": "f32", "int8": "i8", "int16": "i16", "int32": "i32"}[output.dtype]
            self.call(f"eff_argmax_{suffix}", [prediction], [output], {"n": output.elements}, stage="argmax")
        written = {name for call in self._lines["learn"] for name in call.outputs}
        tensors = {
            name: replace(tensor, role="variable") if tensor.role == "constant" and name in written else tensor for name, tensor in self._tensors.items()
        }
        return Program(
            name=self.network.name,
            rule=self.rule_name if self._lines["learn"] else "",
            numeric=self.numeric,
            tensors=tensors,
            infer=tuple(self._lines["infer"]),
            learn=tuple(self._lines["learn"]),
            input=self.x.name,
            output=output.name,
            prediction=prediction.name if prediction else None,
            label="label" if "label" in tensors else None,
            seed=self.seed,
            metadata=dict(self.network.metadata),
        )


def lower(
    network: Network,
    rule: str | None = None,
    settings: Any = None,
    *,
    seed: int = 0,
    target: str = "class",
    stochastic: bool = True,
) -> Program:
    """The program of ``network``: inference alone, or with one learning step of ``rule`` (batch 1, plain gradient descent).

    Args:
        network: float32, or quantised by ``edgeff.quantize``; its numeric is the program's.
        rule: a registered rule, None for inference only. ``settings``: its hyper-parameters, by default those for a device of this numeric.
        seed: of generated feedback, rounding and negatives, 0 to 2**32 - 1.
        target: ``"class"`` (a label) or ``"input"`` (an autoencoder).
        stochastic: rounding of integer updates; False rounds to nearest.
    Raises: Unsupported for momentum, dropout, or what a layer kind cannot do.
    """
    if not 0 <= seed < 2**32:
        raise BadInput("seed", got=seed, allowed="0 to 4294967295")
    if target not in ("class", "input"):
        raise BadInput("target", got=repr(target), allowed="class, input")
    item = registry.rules[rule] if rule else None
    if item is not None and settings is None:
        settings = item.device_settings(network.numeric)
    build = Builder(network, rule or "infer", settings, seed, target, stochastic)
    if item is None:
        output = build.run(build.x)[network.layers[-1].name]
    else:
        for name, neutral in (("momentum", 0.0), ("dropout", 0.0), ("weight_decay", 0.0)):
            if getattr(settings, name, neutral) != neutral:
                raise Unsupported(f"{name} on a device", got=getattr(settings, name), allowed=neutral, next_step=f"set {name}={neutral:g} for the device")
        output = item.lower_predict(build)
        build.begin("learn")
        item.lower(build)
        build.advance(int(getattr(settings, "decay_steps", 0)), float(getattr(settings, "decay", 1.0)))
    return build.program(output, classes=target == "class" and output.elements > 1)
