"""A class-balanced ring has no graph form."""

from __future__ import annotations

REFUSED = "it looks for the entries of one class one after the other; keep=spread has a form"
