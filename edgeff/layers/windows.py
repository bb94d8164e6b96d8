"""Host mathematics of windows over images (placeholder until the fast one lands)."""
from __future__ import annotations
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

def same_padding(size, kernel, stride):
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2

def _win(x, k, s, p, value=0.0):
    t, l, b, r = p
    xp = np.pad(x, ((0, 0), (t, b), (l, r), (0, 0)), constant_values=value)
    return sliding_window_view(xp, k, (1, 2))[:, :: s[0], :: s[1]]

def conv2d(x, weight, stride, pads):
    w = _win(x, weight.shape[1:3], stride, pads)
    B, H, W = w.shape[:3]
    return (w.transpose(0, 1, 2, 4, 5, 3).reshape(B * H * W, -1) @ weight.reshape(len(weight), -1).T).reshape(B, H, W, -1)

def depthwise_conv2d(x, weight, stride, pads, multiplier):
    w = np.repeat(_win(x, weight.shape[:2], stride, pads), multiplier, axis=3)
    return np.einsum("bhwckl,klc->bhwc", w, weight)

def average_pool2d(x, pool, stride, pads):
    n = _win(np.ones_like(x[:1]), pool, stride, pads).sum((-1, -2))
    return _win(x, pool, stride, pads).sum((-1, -2)) / n

def max_pool2d(x, pool, stride, pads):
    return _win(x, pool, stride, pads, -np.inf).max((-1, -2))
