"""placeholder"""
import numpy as np
from edgeff.layers import LayerKind, activate
from edgeff.registry import layers
class BatchNorm(LayerKind):
    """placeholder"""
    op = "batch_norm"
    summary = "placeholder"
    def initial(self, layer, inputs, rng):
        c = inputs[0][-1]
        return {"weight": np.ones(c, np.float32), "bias": np.zeros(c, np.float32), "mean": np.zeros(c, np.float32), "variance": np.ones(c, np.float32)}
layers.add("batch_norm", BatchNorm())
