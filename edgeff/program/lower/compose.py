"""The building blocks of rules: each method of ``Builder`` is one step of a rule's mathematics, in the network's numeric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import SUFFIX, Array, Attr, Layer, Quant
from edgeff.kernels.activation import ACTIVATIONS
from edgeff.kernels.arithmetic import feedback_signs
from edgeff.kernels.records import Requant
from edgeff.ops import kind
from edgeff.ops.add.kernel import ADD_BITS_I16
from edgeff.ops.building import Value
from edgeff.program.lower.goodness import Goodness
from edgeff.program.lower.pooled import Pooled
from edgeff.program.lower.tangents import Tangents
from edgeff.program.lower.trial import SAMPLES, Trial, real_parameters
from edgeff.rules.words.anchor import SHARE_BITS

ANCHOR_TURN_BITS = 10
"""In 2**10 steps every parameter has its turn to be drawn back to its exported value."""


class Builder(Goodness, Tangents, Pooled, Trial):
    """The argument of a rule's ``lower``.

    ``x`` is the input, ``label`` the class (int32), ``layers`` the network's layers in order, ``settings`` the rule's hyper-parameters,
    ``target`` ``"class"``, ``"value"`` or ``"input"``. Each method emits kernel calls into the current line: the rule never sees the
    numeric, whose kernels, multipliers and shifts are chosen here.
    """

    def forward(self, layer: Layer, *xs: Value) -> Value:
        """The layer applied to its inputs."""
        y = kind(layer).lower(self, layer, *xs)
        self.note(y, xs, lambda *held: kind(layer).forward(layer, real_parameters(layer), *held))
        return y

    def run(self, x: Value, layers: Sequence[Layer] | None = None) -> dict[str, Value]:
        """``layers`` applied to x, by default those the output depends on: every layer's value by name, with ``"input"``."""
        values = {"input": x}
        for layer in self.network.upstream if layers is None else layers:
            values[layer.name] = self.forward(layer, *(values[name] for name in layer.inputs))
        return values

    def error(self, output: Value) -> Value:
        """e = o - t: against the label's one-hot vector, the values to learn, or the input if the network reproduces it."""
        n = output.elements
        if self.target == "value":
            return self._error_of_values(output)
        if self.target == "input":
            return self.residual(output, self.x)
        if output.dtype == "float32":
            e = self.activation("error", (n,))
            self.call("eff_error_f32", [e], [output, self.label], {"n": n}, stage="error")
            return e
        e = self.activation("error", (n,), dtype="int16", scale=output.scale)
        attrs = {"n": n, "one": round(1.0 / output.scale)} | ({"p_zero": output.zero_point} if output.dtype == "int8" else {})
        self.call(f"eff_error_{SUFFIX[output.dtype]}", [e], [output, self.label], attrs, stage="error")
        right = np.random.default_rng(1).integers(0, n, SAMPLES)
        self.note(e, (output,), lambda held: held.reshape(SAMPLES, n) - np.eye(n)[right])
        return e

    def _error_of_values(self, output: Value) -> Value:
        """o - t in units of the values' deviation; an integer error is exact, so that it spans the output's whole range twice."""
        n, target = output.elements, self.values
        if output.dtype == "float32":
            return self.difference(output, self.scaled(target, 1.0 / self._unit, "target"))
        e = self.difference(output, target)
        self.largest_error = n * e.scale * (255.0 if output.dtype == "int8" else 32767.0)
        self.note(e, (output,), lambda _: np.random.default_rng(1).standard_normal((SAMPLES, n)))
        return e

    def residual(self, a: Value, c: Value) -> Value:
        """a - c for tensors of different scales."""
        n = a.elements
        if a.dtype == "float32":
            return self.difference(a, c)
        scale = 2.0 * max(a.scale, c.scale) / (128.0 if a.dtype == "int8" else 1.0)
        d = self.activation("error", (n,), dtype="int16", scale=scale)
        attrs: dict[str, Attr] = {"n": n}
        for side, value in (("a", a), ("c", c)):
            attrs[f"{side}_multiplier"], attrs[f"{side}_shift"] = self.fixed_point(value.scale / scale, "the error's scale")
            if a.dtype == "int8":
                attrs[f"{side}_zero"] = value.zero_point
        self.call(f"eff_residual_{SUFFIX[a.dtype]}", [d], [a, c], attrs, stage="error")
        self.note(d, (a, c), lambda left, right: left.reshape(SAMPLES, n) - right.reshape(SAMPLES, n))
        return d

    def difference(self, a: Value, c: Value) -> Value:
        """a - c for two activations of one layer (one scale)."""
        n = a.elements
        d = self.activation("difference", (n,), dtype="float32" if a.dtype == "float32" else "int16", scale=a.scale)
        self.call(f"eff_difference_{SUFFIX[a.dtype]}", [d], [a, c], {"n": n}, stage="difference")
        return d

    def gate(self, delta: Value, h: Value, layer: Layer) -> None:
        """delta *= f'(h) in place, if the layer ends in an activation function f."""
        function = kind(layer).function
        if not function.clamps:
            return
        if not function.gate:
            allowed = ", ".join(name for name, known in ACTIVATIONS.items() if known.gate)
            what = f"the gradient through layer {layer.name!r}"
            raise Unsupported(what, got=function.name, allowed=allowed, next_step="train with ReLU")
        attrs = {"n": h.elements} | ({"h_zero": h.zero_point} if h.dtype == "int8" else {})
        self.call(f"{function.gate}_{SUFFIX[h.dtype]}", [delta], [h], attrs, layer, "backward")
        self.note_change(delta, (h,), lambda held, y: kind(layer).gate(layer, held.reshape(y.shape), y))

    def input_gradients(self, layer: Layer, delta: Value, *xs: Value) -> tuple[Value, ...]:
        """d loss / d x for each of the layer's inputs."""
        tried = self.trying(layer, delta, xs)
        below = kind(layer).lower_input_gradients(self, layer, delta, *xs)
        for place, d in enumerate(below):
            self.note(d, (delta, *xs), lambda *_, place=place: (tried() or ())[place])
        return below

    def sum(self, a: Value, c: Value) -> Value:
        """a + c: the sum of the gradients from two readers of one activation; integers in the scale that holds both."""
        if a.dtype == "float32":
            y = self.activation("gradient", a.shape)
            self.call("eff_add_f32", [y], [a, c], {"n": a.elements, "relu": 0}, stage="backward")
            return y
        if self.added_onto(a, c):
            return a
        y = self.activation("gradient", a.shape, dtype="int16", scale=a.scale + c.scale)
        attrs: dict[str, Attr] = {"n": a.elements, "y_min": -32767}
        common = 2.0 * max(a.scale, c.scale)
        for side, value in (("a", a), ("c", c)):
            attrs[f"{side}_multiplier"], attrs[f"{side}_shift"] = self.fixed_point(value.scale / common, "the sum of two gradients")
        attrs["multiplier"], attrs["shift"] = self.fixed_point(common / (2.0**ADD_BITS_I16 * y.scale), "the sum of two gradients")
        self.call("eff_add_i16", [y], [a, c], attrs, stage="backward")
        self.note(y, (a, c), lambda left, right: left + right.reshape(left.shape))
        return y

    def added_onto(self, a: Value, c: Value) -> bool:
        """Lets the call that made the gradient c add it onto the gradient a in place, if it can and a's steps are fine enough."""
        calls = self._lines[self._line]
        place = next(place for place in reversed(range(len(calls))) if c.name in calls[place].outputs)
        call, since = calls[place], {name for other in calls[place + 1 :] for name in (*other.inputs, *other.outputs)}
        if "add" not in call.attrs or since & {a.name, c.name} or c.scale > 2.0 * a.scale:
            return False
        delta, w = (self._values[name] for name in call.inputs)
        pre_shift = call.attrs.get("pre_shift", 0)
        steps = delta.scale * w.scale / a.scale * 2.0 ** (pre_shift if isinstance(pre_shift, int) else 0)
        requant = Requant(*self.fixed_point(steps, "the sum of two gradients"))
        calls[place] = replace(call, outputs=(a.name,), attrs={**call.attrs, "requant": requant, "add": 1})
        self.note_change(a, (c,), lambda held, more: held + more.reshape(held.shape))
        return True

    def zeros(self, like: Value) -> Value:
        """A constant of zeros with the quantisation of ``like``."""
        data = np.full(like.shape, like.zero_point, like.dtype)
        return self.constant(f"{like.name}.zeros", data, self._tensors[like.name].quant)

    def signed(self, a: Value, sign: float) -> Value:
        """+a or -a as a delta: int16 in a's scale. Integers only."""
        if sign > 0 and a.dtype == "int16":
            return a
        d = self.activation("signed", a.shape, dtype="int16", scale=a.scale)
        attrs: dict[str, Attr] = {"n": a.elements}
        for side, part in (("a", float(sign > 0)), ("c", float(sign < 0))):
            attrs[f"{side}_multiplier"], attrs[f"{side}_shift"] = self.fixed_point(part, "a delta's scale")
            if a.dtype == "int8":
                attrs[f"{side}_zero"] = a.zero_point
        self.call(f"eff_residual_{SUFFIX[a.dtype]}", [d], [a, a], attrs, stage="difference")
        return d

    def update(self, layer: Layer, delta: Value, x: Value, factor: float = 1.0) -> None:
        """The layer's parameters -= factor * lr * (gradient from delta and the layer's input x), in place.

        An activation may stand for delta, and ``factor`` may be negative.
        """
        if layer.numeric != "float32" and (factor < 0 or delta.dtype == "int8"):
            delta, factor = self.signed(delta, factor), abs(factor)
        lr = self.lr
        self.lr = factor * lr
        kind(layer).lower_update(self, layer, delta, x)
        self.lr = lr

    def update_bias(self, layer: Layer, delta: Value) -> None:
        """The layer's bias -= lr * (gradient from delta), in place."""
        kind(layer).lower_bias_update(self, layer, delta)

    def copy(self, x: Value) -> Value:
        """A copy of x."""
        y = self.activation("copy", x.shape, dtype=x.dtype, quant=self._tensors[x.name].quant)
        self.call("eff_copy", [y], [x], {"n_bytes": self._tensors[x.name].size_bytes}, stage="feedback")
        self.note(y, (x,), lambda held: held)
        return y

    def _feedback_matrix(self, name: str, dtype: str, entries: Array, scale: float) -> Value:
        """The feedback matrix ``scale * entries`` in flash (float32, or int8 in steps of scale / 127)."""
        if dtype == "float32":
            return self.constant(f"{name}.feedback", entries.astype(np.float32) * np.float32(scale))
        return self.constant(f"{name}.feedback", np.rint(127.0 * entries).astype(np.int8), Quant((scale / 127,)))

    def feedback(
        self,
        name: str,
        e: Value,
        scale: float,
        *,
        onto: Value | None = None,
        n: int = 0,
        stored: bool = False,
        entries: Array | None = None,
        largest: float | None = None,
    ) -> Value:
        """F e for the fixed matrix F of entries +-scale called ``name``: added onto a value in place, or (of n entries) as a new delta.

        F is generated, or with ``stored`` the same in flash, or ``scale * entries`` in flash (n, e's elements; -1 to 1). ``scale`` may be
        negative. ``largest`` bounds sum |e|, by default that of the error: an integer delta spans ``scale * largest``.
        """
        largest = self.largest_error if largest is None else largest
        n, n_e = onto.elements if onto else n, e.elements
        if e.dtype != "float32" and scale < 0:
            e, scale = self.signed(e, scale), -scale
        if stored and entries is None:
            entries = feedback_signs(n, n_e, self.key("feedback", name))
        f = None if entries is None else self._feedback_matrix(name, e.dtype, entries, scale)
        if e.dtype == "float32":
            y = onto or self.activation("delta", (n,))
            sizes: dict[str, Attr] = {"n": n, "n_e": n_e, "add": int(onto is not None)}
            if f is not None:
                self.call("eff_feedback_table_f32", [y], [e, f], sizes, stage="feedback")
            else:
                self.call("eff_feedback_f32", [y], [e], sizes | {"key": self.key("feedback", name), "scale": scale}, stage="feedback")
            return y
        if f is not None and n_e > 516:
            raise Unsupported(
                "a stored feedback matrix in integers",
                got=f"{n_e} errors",
                allowed="at most 516",
                next_step="generate it (feedback=generated)",
            )
        self.at_most(e.dtype, 65_536, n_e, f"the feedback {name!r}")
        y = onto or self.activation("delta", (n,), dtype="int16", scale=scale * largest / 32767)
        step = f.scale if f is not None else scale
        multiplier, shift = self.fixed_point(step * e.scale / y.scale, f"the feedback {name!r}")
        attrs: dict[str, Attr] = {"n": n, "n_e": n_e, "multiplier": multiplier, "shift": shift}
        what = f"add_{SUFFIX[onto.dtype]}" if onto else "delta_i16"
        if f is not None:
            self.call(f"eff_feedback_table_{what}", [y], [e, f], attrs, stage="feedback")
        else:
            self.call(f"eff_feedback_{what}", [y], [e], attrs | {"key": self.key("feedback", name)}, stage="feedback")
        if onto is None:
            signs, key = entries, self.key("feedback", name)
            self.note(
                y, (e,), lambda held: scale * held.reshape(SAMPLES, n_e) @ (feedback_signs(n, n_e, key) if signs is None else signs).T
            )
        return y

    def anchor(self, strength: float) -> None:
        """Draws each parameter that the current line changes back to its exported value: by ``strength`` of its distance per step, a part
        of the tensor at a time (0: not at all).
        """
        if not strength:
            return
        share = strength * 2.0**ANCHOR_TURN_BITS
        changed = dict.fromkeys(name for call in self._lines[self._line] for name in call.outputs)
        for tensor in [self._tensors[name] for name in changed if self._tensors[name].role == "constant"]:
            name = f"{tensor.name}.exported"
            exported = self._values.get(name) or self._add(replace(tensor, name=name, layer="", initial_of=tensor.name))
            attrs: dict[str, Attr] = {"n": tensor.elements, "turn_bits": ANCHOR_TURN_BITS}
            if tensor.dtype == "float32":
                attrs |= {"share": share}
            else:
                attrs |= {"share": round(share * 2**SHARE_BITS), "key": self.key("anchor", tensor.name)}
            inputs = [exported, self.rate, self.step]
            self.call(f"eff_anchor_{SUFFIX[tensor.dtype]}", [self._values[tensor.name]], inputs, attrs, stage="anchor")

    def advance(self, period: int, factor: float) -> None:
        """Ends a learning step: counts it, and scales the rate by ``factor`` after every ``period`` steps (0: never)."""
        self.call("eff_advance", [self.step, self.rate], [], {"period": period, "factor": round(factor * 2**16)}, stage="update")
