"""An image in another size has no graph form."""

from __future__ import annotations

REFUSED = "no learning step goes through it"
