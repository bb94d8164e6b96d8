"""A network that learns one block of layers at a time: a deployment for each block, all of one quantised network.

Block k's program learns block k; the blocks below it are constants, which hold what they have learned (``learned_network``) or, on a
device, are read from flash (``edgeff.codegen.chain``). Refused: a network whose rule has no setting ``block``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from edgeff.errors import BadInput
from edgeff.ir import Array, Network, Numeric
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.learned import learned_network
from edgeff.rules import find_rule
from edgeff.rules.local_heads import headed_blocks

RULE = "mono_forward"


def first_block(
    network: Network,
    x: Array | None = None,
    *,
    rule: str = RULE,
    numeric: Numeric | None = None,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
    stochastic: bool = True,
) -> Deployment:
    """The deployment on which the first block learns, as ``edgeff.program.deploy.deploy`` makes it. Raises BadInput for other rules."""
    item = find_rule(rule)
    if "block" not in {field.name for field in fields(item.settings)} or item.name != RULE:
        raise BadInput("learning one block at a time", got=f"rule {rule}", allowed=RULE)
    given = {**(changes or {}), "block": 1}
    return deploy(network, x, rule=rule, numeric=numeric, changes=given, seed=seed, stochastic=stochastic)


def block_count(deployment: Deployment) -> int:
    """How many blocks the network of a chain's deployment has."""
    return len(headed_blocks(deployment.network)[0])


def next_block(deployment: Deployment, values: Mapping[str, Array], *, stochastic: bool = True) -> Deployment:
    """The deployment of the block after that of ``deployment``, which learned ``values``: its variables and states by name."""
    learned = learned_network(deployment.network, deployment.program, values)
    return of_block(deployment, learned, deployment.settings.block + 1, stochastic=stochastic)


def of_block(deployment: Deployment, network: Network, block: int, *, stochastic: bool = True) -> Deployment:
    """The deployment on which ``block`` (from 1) of ``network`` learns, with the settings of a chain's ``deployment``."""
    program, settings = deployment.program, replace(deployment.settings, block=block)
    given = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return deploy(network, rule=program.rule, changes=given, seed=program.seed, target=deployment.target, stochastic=stochastic)


def chain(network: Network, x: Array | None = None, **options: Any) -> tuple[Deployment, ...]:
    """The deployments of all blocks in order, before any has learned; ``options`` are those of ``first_block``.

    >>> from edgeff.networks import initialised, structure
    >>> parts = chain(initialised(structure("8-6-4-3"), 0))
    >>> [part.settings.block for part in parts]
    [1, 2]
    """
    first, stochastic = first_block(network, x, **options), options.get("stochastic", True)
    numbers = range(2, block_count(first) + 1)
    return (first, *(of_block(first, first.network, number, stochastic=stochastic) for number in numbers))
