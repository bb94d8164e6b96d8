"""Rows of earlier inputs have no graph form."""

from __future__ import annotations

REFUSED = "a network that remembers does not learn, so no learning step has one"
