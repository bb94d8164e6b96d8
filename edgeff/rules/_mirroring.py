"""Weight mirroring: PEPITA's F as a product of matrices that learn from noise to be the layers' transposes (Akrout et al. 2019).

Srinivasan et al., ICLR 2024: noise passes through each layer separately, ``B_l <- (1 - decay) B_l + lr xi^T layer_l(xi) / B``, so B_l tends
to a multiple of W_l^T; the B_l are rescaled so that F keeps its deviation. Sign: with the update ``(h - h')^T h'`` of ``x + F e`` the error
that reaches layer 1 is ``-W_1 F e``, so F is **minus** their product: then it points the same way as back-propagation's. (The paper has ``x
- F e`` with the same update and the product itself, which is equivalent.)
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer, Network
from edgeff.ops import Params, kind
from edgeff.ops.dense import Dense

NOISE = np.float32(0.1)


class Mirror:
    """The mirrors ``B_l`` (n_in, n_out) float32 of a chain of dense layers, and the F they give.

    They start as normal noise of equal deviation, such that their product has the deviation ``deviation`` of F. Raises Unsupported for a
    network that is not a chain of dense layers.
    """

    def __init__(self, network: Network, settings: Any, deviation: float, rng: np.random.Generator) -> None:
        layers = network.upstream
        if not all(isinstance(layer.op, Dense) or (kind(layer).keeps_places and len(layer.inputs) == 1) for layer in layers):
            raise Unsupported("weight mirroring", got="layers that are not a chain of dense layers", allowed="a dense list")
        self.layers: tuple[Layer, ...] = layers.trainable
        self.settings, self.deviation, self.rng = settings, deviation, rng
        widths = [prod(network.input_shape), *(layer.shape[0] for layer in self.layers)]
        one = (deviation / np.sqrt(prod(widths[1:-1]))) ** (1 / len(self.layers))
        self.matrices = [rng.normal(0, one, shape).astype(np.float32) for shape in pairwise(widths)]
        self.rescale()

    def due(self, epoch: int) -> int:
        """How many epochs of noise come before ``epoch``."""
        return int(self.settings.mirror_first) if epoch == 0 else int(epoch % self.settings.mirror_every == 0)

    def epoch(self, params: Params, steps: int) -> None:
        """``steps`` batches of centred noise 0.1 N(0, 1) through each layer separately, including its activation."""
        keep, rate = np.float32(1 - self.settings.mirror_decay), np.float32(self.settings.mirror_lr / self.settings.batch)
        for _ in range(steps):
            for index, layer in enumerate(self.layers):
                matrix = self.matrices[index]
                noise = NOISE * self.rng.standard_normal((self.settings.batch, len(matrix)), np.float32)
                noise -= noise.mean()
                output = kind(layer).forward(layer, params[layer.name], noise)
                np.multiply(matrix, keep, out=matrix)
                np.add(matrix, (rate * noise).T @ output, out=matrix)
        self.rescale()

    def rescale(self) -> None:
        """Rescales the mirrors by a common factor so that F has its deviation."""
        factor = np.float32((self.deviation / self.feedback().std()) ** (1 / len(self.matrices)))
        self.matrices = [factor * matrix for matrix in self.matrices]

    def feedback(self) -> Array:
        """F (D, C) float32: minus the product of the mirrors."""
        product = self.matrices[-1]
        for matrix in reversed(self.matrices[:-1]):
            product = matrix @ product
        return -product
