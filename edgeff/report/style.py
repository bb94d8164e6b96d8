"""The style of all outputs: one colour and dash per rule, one mark per numeric, one colour per stage and role; names safe to show.

The colours of rules are Okabe and Ito's (2008), those of stages Paul Tol's light scheme: both can be distinguished by colour-blind readers.
The two baselines of every rule, back-propagation and the control, are black and grey.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from types import MappingProxyType

from edgeff.errors import one_line

CONTROL = "frozen"
CONTROL_MEANING = "frozen is the control: hidden layers keep their initial weights (random if fresh), only the last layer learns"
NO_RULE = frozenset({"", "none"})
UNKNOWN = "\N{EN DASH}"
INK, MUTED, RULE_LINE, GRID = "#1f2328", "#5f6770", "#c9ced4", "#eceef0"

_RULES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "bp": ("#000000", "solid"),
        "dfa": ("#0072b2", "solid"),
        "pepita": ("#d55e00", "solid"),
        "mempepita": ("#e69f00", "dash"),
        "ff": ("#009e73", "solid"),
        "scff": ("#009e73", "dash"),
        "fa": ("#56b4e9", "solid"),
        "afa": ("#56b4e9", "dash"),
        "cwc": ("#cc79a7", "solid"),
        "local_heads": ("#cc79a7", "dash"),
        "mono_forward": ("#56b4e9", "dot"),
        "block_ff": ("#009e73", "dot"),
        "phyll": ("#cc79a7", "dot"),
        "forward_gradient": ("#0072b2", "dash"),
        "tdca": ("#d55e00", "dot"),
        CONTROL: ("#868e96", "dot"),
    }
)
_OTHER_RULES = tuple(
    (colour, dash) for dash in ("dashdot", "longdash") for colour in ("#cc79a7", "#56b4e9", "#009e73", "#e69f00", "#0072b2", "#d55e00")
)
_NUMERICS: Mapping[str, str] = MappingProxyType({"float32": "circle", "int16": "diamond", "int8": "square"})
_STAGES: Mapping[str, str] = MappingProxyType(
    {
        "forward": "#77aadd",
        "label": "#dddddd",
        "argmax": "#c4c4c4",
        "error": "#eedd88",
        "difference": "#bbcc33",
        "feedback": "#44bb99",
        "tangent": "#99ddff",
        "backward": "#ffaabb",
        "update": "#ee8866",
    }
)
_OTHER_STAGES = ("#aaaa00", "#b7a6d9", "#c2a58c")
ROLES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "variable": ("weights that learn", "#93a4ba"),
        "state": ("state of the rule", "#c3ccd8"),
        "ring": ("samples to replay", "#b4a7c9"),
        "input": ("input", "#dccba4"),
        "label": ("label", "#b58e6d"),
        "target": ("values to learn", "#b58e6d"),
        "activation": ("activations", "#93c4b3"),
    }
)
STACK_COLOUR, STATIC_COLOUR = "#c9ced4", "#e3e6e9"


def rule_look(rule: str) -> tuple[str, str]:
    """The colour and the dash of a rule; a rule that is not edgeff's own gets one from its name, always the same."""
    return _RULES[rule] if rule in _RULES else _OTHER_RULES[sum(rule.encode("utf-8", "replace")) % len(_OTHER_RULES)]


def numeric_mark(numeric: str, *, hollow: bool = False) -> str:
    """The marker of a numeric, in plotly's words.

    >>> numeric_mark("int8", hollow=True)
    'square-open'
    """
    return _NUMERICS.get(numeric, "cross") + ("-open" if hollow else "")


def stage_colour(stage: str) -> str:
    """The colour of a stage of a step."""
    return _STAGES[stage] if stage in _STAGES else _OTHER_STAGES[sum(stage.encode("utf-8", "replace")) % len(_OTHER_STAGES)]


def stage_order(stage: str) -> int:
    """The position of a stage in a stack of bars: as in a step, others last."""
    order = ("label", "forward", "error", "difference", "feedback", "tangent", "recompute", "backward", "update", "argmax")
    return order.index(stage) if stage in order else len(order)


def shown(text: str, limit: int = 60) -> str:
    """An external name on one line, without control characters, cut to ``limit`` characters."""
    return one_line(text, limit)


def markup(text: str, limit: int = 60) -> str:
    """An external name as text for HTML and for plotly's labels, which interpret the same entities and tags, and dollars as mathematics.

    >>> markup("<b> $x$")
    '&lt;b&gt; &#36;x&#36;'
    """
    return escape(shown(text, limit)).replace("$", "&#36;")
