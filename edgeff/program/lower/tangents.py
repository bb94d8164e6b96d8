"""What rules that live on forward derivatives compose: tangents through layers, random directions of signs, slopes and steps along them."""

from __future__ import annotations

from math import prod

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Attr, Layer
from edgeff.ops import kind
from edgeff.ops.building import Value
from edgeff.ops.dense import Dense
from edgeff.program.lower.builder import Lines


class Tangents(Lines):
    """A part of ``Builder``. Directions are named: a name gives the same signs wherever it is used within one step."""

    def tangent(self, layer: Layer, dxs: tuple[Value | None, ...], xs: tuple[Value, ...]) -> Value:
        """The tangent of the layer's output before its activation function, from those of its inputs (None: it stands still)."""
        return kind(layer).lower_jvp(self, layer, dxs, xs)

    def negate(self, d: Value) -> None:
        """d = -d in place."""
        self.call(f"eff_minus_{'f32' if d.dtype == 'float32' else 'i16'}", [d], [], {"n": d.elements}, stage="feedback")

    def number(self, value: float) -> Value:
        """A float32 constant of shape (1,)."""
        return self.constant(f"number {value:g}", np.array([value], np.float32))

    def signs(self, direction: str, layer: Layer, s: Value, onto: Value | None = None) -> Value:
        """s times the signs of ``direction`` in the layer's shape, added onto a value in place, or as a new one; s of shape (1,)."""
        d = onto or self.activation("tangent", layer.shape, layer=layer.name)
        attrs = {"n": prod(layer.shape), "add": int(onto is not None), "key": self.key(direction, layer.name)}
        self.call("eff_signs_f32", [d], [s, self.step], attrs, layer, "tangent")
        return d

    def slope(self, e: Value, dz: Value) -> Value:
        """<e, dz>, shape (1,): how the loss changes along the direction of dz."""
        s = self.activation("slope", (1,))
        self.call("eff_dot_f32", [s], [e, dz], {"n": e.elements}, stage="error")
        return s

    def signed_weights(self, direction: str, layer: Layer, x: Value, dy: Value | None) -> Value:
        """V x + v added onto dy, or as a new value: what the output of a dense layer moves by when its parameters move along signs."""
        if not isinstance(kind(layer), Dense):
            raise Unsupported(
                f"a direction for the weights of layer {layer.name!r}, {layer.kind}",
                got="no kernel for it",
                allowed="dense layers",
                next_step="perturb activities (--set perturb=activities)",
            )
        n_out, n_in = layer.params["weight"].shape
        made = dy or self.activation("tangent", layer.shape, layer=layer.name)
        attrs = {"n_out": n_out, "n_in": n_in, "add": int(dy is not None), "key": self.key(direction, layer.name, "weight")}
        self.call("eff_signed_dense_f32", [made], [x, self.step], attrs, layer, "tangent")
        if "bias" in layer.params:
            attrs = {"n": n_out, "add": 1, "key": self.key(direction, layer.name, "bias")}
            self.call("eff_signs_f32", [made], [self.number(1.0), self.step], attrs, layer, "tangent")
        return made

    def perturb(self, direction: str, layer: Layer, amount: float) -> None:
        """The layer's parameters += amount times the signs of ``direction``, in place."""
        for name, value in layer.params.items():
            attrs = {**_matrix(name, value), "amount": amount, "key": self.key(direction, layer.name, name)}
            self.call("eff_perturb_f32", [self._parameter(layer, name)], [self.step], attrs, layer, "perturb")

    def signed_update(self, direction: str, layer: Layer, s: Value, factor: float) -> None:
        """The layer's parameters -= factor * lr * s times the signs of ``direction``, in place."""
        for name, value in layer.params.items():
            attrs = {**_matrix(name, value), "lr": factor * self.lr, "key": self.key(direction, layer.name, name)}
            self.call("eff_signed_update_f32", [self._parameter(layer, name)], [s, self.rate, self.step], attrs, layer, "update")

    def _parameter(self, layer: Layer, name: str) -> Value:
        return self.constant(f"{layer.name}.{name}", layer.params[name], layer.quant.get(name), layer.name)


def _matrix(name: str, value: Array) -> dict[str, Attr]:
    """A parameter's shape as rows and columns: the rows of a weight, of which signs are drawn anew, or a bias as one row."""
    rows = value.shape[0] if name == "weight" and value.ndim > 1 else 1
    return {"n_out": rows, "n_in": value.size // rows}
