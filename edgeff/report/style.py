"""The style of all outputs: one colour and dash per rule, one mark per numeric, one colour per stage and role; names safe to show.

No two rules of edgeff share a colour: those of Okabe and Ito (2008) first, then Paul Tol's muted scheme; those of stages are his light
scheme. All can be distinguished by colour-blind readers, rules with the help of their dashes. The two baselines of every rule,
back-propagation and the control, are black and grey.
"""

from __future__ import annotations

from collections.abc import Mapping
from colorsys import hls_to_rgb
from html import escape
from types import MappingProxyType
from zlib import crc32

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
        "scff": ("#117733", "dash"),
        "fa": ("#56b4e9", "solid"),
        "afa": ("#332288", "dash"),
        "cwc": ("#cc79a7", "solid"),
        "local_heads": ("#aa4499", "dash"),
        "deeper_forward": ("#661100", "solid"),
        "mono_forward": ("#44aa99", "dot"),
        "block_ff": ("#999933", "dot"),
        "phyll": ("#882255", "dot"),
        "forward_gradient": ("#6f63bb", "dash"),
        "tdca": ("#8c564b", "dot"),
        "zeroth_order": ("#a6761d", "dash"),
        CONTROL: ("#868e96", "dot"),
    }
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
        "memory": ("what the network remembers", "#a7c0c9"),
        "input": ("input", "#dccba4"),
        "label": ("label", "#b58e6d"),
        "target": ("values to learn", "#b58e6d"),
        "activation": ("activations", "#93c4b3"),
    }
)
STACK_COLOUR, STATIC_COLOUR = "#c9ced4", "#e3e6e9"


def rule_look(rule: str) -> tuple[str, str]:
    """The colour and the dash of a rule; one that is not edgeff's own gets a paler hue from its name, always the same."""
    if rule in _RULES:
        return _RULES[rule]
    number = crc32(rule.encode("utf-8", "replace"))
    parts = (round(255 * part) for part in hls_to_rgb(number % 360 / 360, 0.45, 0.35))
    return f"#{''.join(f'{part:02x}' for part in parts)}", ("dashdot", "longdash")[number // 360 % 2]


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
