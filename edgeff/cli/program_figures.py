"""The exact figures of edgeff's programs for a network: inference only, and a learning step of some rules, in each numeric.

In comes a network with parameters; nothing is trained and no data are read, since neither MACs nor bytes depend on values. A program that
does not lower, or would lower without learning in every layer that the rule trains, has a reason instead of figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeff.cli.models import inference_only
from edgeff.errors import EdgeffError, Unsupported
from edgeff.networks import random_inputs
from edgeff.ops import kind
from edgeff.program.cost import cost
from edgeff.program.deploy import deploy
from edgeff.rules import find_rule

if TYPE_CHECKING:
    from edgeff.ir import Network, Numeric
    from edgeff.program.deploy import Deployment

NUMERICS: tuple[Numeric, ...] = ("int8", "float32")


@dataclass(frozen=True)
class ProgramFigures:
    """Inference only, with the weights as constants, and a learning step of ``rule`` (None: none) with the weights in the arena."""

    network: str
    rule: str | None
    numeric: Numeric
    infer_macs: int | None = None
    infer_arena_bytes: int | None = None
    learn_macs: int | None = None
    learn_arena_bytes: int | None = None
    reason: str | None = None


def program_figures(network: Network, rules: Sequence[str], seed: int, report: Callable[[str, int, int], None]) -> Iterator[ProgramFigures]:
    """The figures of ``network`` without a rule and with each of ``rules``; ``report(what, done, total)`` is called before each."""
    x = random_inputs(network, seed) if network.input_quant is None else None
    target = "class" if kind(network.layers[-1]).probabilities else "input"
    numerics = NUMERICS if network.input_quant is None else (network.numeric,)
    configurations = [(numeric, rule) for numeric in numerics for rule in (None, *rules)]
    for done, (numeric, rule) in enumerate(configurations):
        report(f"{network.name}, {rule or 'inference'} in {numeric}", done, len(configurations))
        try:
            deployment = deploy(network, x, rule=rule, numeric=numeric, seed=seed, target=target)
            if rule:
                require_learning(deployment, rule)
        except EdgeffError as error:
            yield ProgramFigures(network.name, rule, numeric, reason=str(error))
            continue
        whole, alone = cost(deployment.program), cost(inference_only(deployment.program))
        learn = (whole.macs("learn"), whole.memory.arena_bytes) if rule else (None, None)
        yield ProgramFigures(network.name, rule, numeric, whole.macs("infer"), alone.memory.arena_bytes, *learn)


def require_learning(deployment: Deployment, rule: str) -> None:
    """Raises Unsupported, naming the kinds of layers, if the program holds weights as constants that the rule is to train."""
    variable, constant = ({tensor.layer for tensor in deployment.program.by_role(role)} for role in ("variable", "constant"))
    left = [
        layer for layer in find_rule(rule).learns(deployment.network, settings=deployment.settings) if layer.name in constant - variable
    ]
    if left:
        kinds = ", ".join(sorted({layer.kind for layer in left}))
        raise Unsupported(f"learning by {rule} on a device", got=f"layers of kind {kinds}, which it does not change")
