"""What is known of rules whose updates do not reach the filters of convolutions: their figures are those of random filters."""

from __future__ import annotations

from edgeff.ir import Network
from edgeff.ops.window import Convolution
from edgeff.rules import Rule


def frozen_filters(rule: Rule, network: Network) -> str:
    """What to say before ``rule`` trains filters that it is not known to improve; empty where ``network`` has none.

    Measured: two convolutions, digits and 14x14 MNIST, PEPITA 90.4 to 91.3, DFA 89.5, random filters 90.4 (docs/rules/dfa.md, pepita.md).
    """
    filters = [layer.name for layer in rule.learns(network)[:-1] if isinstance(layer.op, Convolution)]
    if not filters:
        return ""
    return (
        f"rule {rule.name} through convolutions ({', '.join(filters[:3])}) has not been seen to learn more than frozen random filters do; "
        "use mono_forward, cwc, local_heads or bp there, and compare with the rule frozen"
    )
