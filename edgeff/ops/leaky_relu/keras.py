"""The leaky ReLU in Keras: a layer class of its own."""

from __future__ import annotations

LAYERS = ("LeakyReLU",)
