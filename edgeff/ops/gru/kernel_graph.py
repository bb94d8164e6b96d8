"""A gated recurrent unit has no graph form."""

from __future__ import annotations

REFUSED = "a loop over the steps of a sequence has no form in plain operators"
