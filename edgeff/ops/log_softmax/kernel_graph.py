"""The logarithm of the softmax has no graph form."""

from __future__ import annotations

REFUSED = "no learning step computes it: train on the logits before it"
