"""What the layers with a weight share: the activation function of weight times input, plus a bias.

The product is linear in the weight and in the input, so the forward derivative is three products of the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeff.ir import Array, Layer
from edgeff.ops import Arrays, LayerKind, Named, activate, gated


class Weighted(LayerKind):
    """A kind whose params are ``weight`` and, with a bias, ``bias`` (C_out,) along the output's last axis; attrs: ``activation``."""

    def product(self, layer: Layer, weight: Array, x: Array) -> Array:
        """weight times x (B, ...) in a new array (B, *shape)."""
        raise NotImplementedError

    def forward(self, layer: Layer, params: Mapping[str, Array], *xs: Array) -> Array:
        z = self.product(layer, params["weight"], xs[0])
        if "bias" in params:
            z += params["bias"]
        return activate(layer, z)

    def gate(self, layer: Layer, delta: Array, y: Array) -> Array:
        return gated(layer, delta, y)

    def jvp(self, layer: Layer, params: Named, tangents: Named, dxs: Arrays, xs: Arrays, y: Array, saved: Any = None) -> Array:
        """``dy = (W dx + dW x + db) * activation'(z)``."""
        dz = self.product(layer, params["weight"], dxs[0])
        if "weight" in tangents:
            dz += self.product(layer, tangents["weight"], xs[0])
        if "bias" in tangents:
            dz += tangents["bias"]
        return self.gate(layer, dz, y)
