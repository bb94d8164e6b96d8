"""A network that learns one block of layers at a time: a deployment for each block, all of one quantised network.

Block k's program has the layers up to block k and predicts by that block's head, the last block's by the network's own. It learns block k;
the blocks below it are constants, which hold what they have learned (``Chain.learned``) or, on a device, are read from flash
(``edgeff.codegen.chain``). Refused: a rule without the setting ``block``.

Where RAM is limited, layers of a block whose arena would be larger are had in parts (``edgeff.rules._parts``), each of which learns with
what is not in parts; to the caller that is one block more, which begins with what the one before it has learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Network, Numeric
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.learned import learned_network
from edgeff.program.plan import plan
from edgeff.program.select import select
from edgeff.rules._parts import divisible, in_parts, joined
from edgeff.rules.local_heads import headed_blocks, output_layers

RULE = "mono_forward"


@dataclass(frozen=True)
class Chain:
    """``network``, quantised, with heads and perhaps with layers in parts, before any block has learned; ``settings`` of the rule.

    ``steps`` says for each block which of the network's it is, from 1, and which part of it learns, 0 for all. ``held`` is what finished
    blocks have learned, by tensor.
    """

    network: Network
    settings: Any
    seed: int
    stochastic: bool
    steps: tuple[tuple[int, int], ...]
    held: Mapping[str, Array] = field(default_factory=dict)

    @property
    def blocks(self) -> int:
        """How many blocks learn one after the other."""
        return len(self.steps)

    def deployment(self, block: int) -> Deployment:
        """The deployment on which ``block``, from 1, learns. It is lowered before blocks below have learned, as for a device."""
        blocks, _ = headed_blocks(self.network)
        own, turn = self.steps[block - 1]
        last = output_layers(self.network, blocks[own - 1])[-1].name if own < len(blocks) else self.network.layers[-1].name
        names = [layer.name for layer in self.network]
        part = replace(self.network, layers=self.network.layers[: names.index(last) + 1])
        given = {item.name: getattr(self.settings, item.name) for item in fields(self.settings)} | {"block": own, "part": turn}
        fresh = deploy(part, rule=RULE, changes=given, seed=self.seed, stochastic=self.stochastic)
        tensors = {name: replace(tensor, data=self.held.get(name, tensor.data)) for name, tensor in fresh.program.tensors.items()}
        layers = {
            layer.name: replace(layer, params={key: self.held.get(f"{layer.name}.{key}", value) for key, value in layer.params.items()})
            for layer in fresh.network
        }
        return replace(fresh, program=replace(fresh.program, tensors=tensors), network=fresh.network.replacing(layers))

    def learned(self, deployment: Deployment, values: Mapping[str, Array]) -> Chain:
        """The chain with what ``deployment`` learned: its variables and states by name."""
        own = {tensor.name: values[tensor.name] for tensor in deployment.program.by_role("variable") if tensor.layer}
        return replace(self, held={**self.held, **own})

    def finished(self, values: Mapping[str, Array]) -> Network:
        """The network with all that was learned, of which ``values`` are the last block's."""
        last = self.deployment(self.blocks)
        return joined(learned_network(last.network, last.program, values))


def chain(
    network: Network,
    x: Array | None = None,
    *,
    rule: str = RULE,
    numeric: Numeric | None = None,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
    stochastic: bool = True,
    arena_limit: int = 0,
    features: frozenset[str] = frozenset(),
) -> Chain:
    """The chain of ``network``, before any block has learned; arguments and errors as of ``edgeff.program.deploy.deploy``.

    ``arena_limit``: the bytes that the arena of each block may take on a core with ``features``, 0 for any; layers are had in parts until
    it fits. Raises Unsupported where it does not.

    >>> from edgeff.networks import initialised, structure
    >>> parts = chain(initialised(structure("8-6-4-3"), 0))
    >>> parts.blocks, [layer.name for layer in parts.deployment(1).network.trainable]
    (2, ['dense_1', 'dense_1_head'])
    """
    if rule != RULE:
        raise BadInput("learning one block at a time", got=f"rule {rule}", allowed=RULE)
    given = {**(changes or {}), "block": 1}
    deployment = deploy(network, x, rule=rule, numeric=numeric, changes=given, seed=seed, stochastic=stochastic)
    return chain_of(deployment, stochastic=stochastic, arena_limit=arena_limit, features=features)


def chain_of(deployment: Deployment, *, stochastic: bool = True, arena_limit: int = 0, features: frozenset[str] = frozenset()) -> Chain:
    """The chain of a deployment by the rule ``mono_forward``; a block that its settings name does not matter. As ``chain``."""
    if deployment.program.rule != RULE:
        raise BadInput("learning one block at a time", got=f"rule {deployment.program.rule or 'none'}", allowed=RULE)
    blocks = len(headed_blocks(deployment.network)[0])
    steps = tuple((number, 0) for number in range(1, blocks + 1))
    whole = Chain(deployment.network, deployment.settings, deployment.program.seed, stochastic, steps)
    if not arena_limit:
        return whole
    for number in range(1, blocks + 1):
        whole = _within(whole, number, arena_limit, features)
    return whole


PARTS = (1, 2, 4, 8, 16)


def _within(whole: Chain, number: int, arena_limit: int, features: frozenset[str]) -> Chain:
    """``whole`` with the layers of the network's block ``number`` in the fewest of PARTS with which its arenas fit."""
    block, arenas = headed_blocks(whole.network)[0][number - 1], list[int]()
    first = 1 + sum(own < number for own, _ in whole.steps)
    for parts in PARTS:
        names = [layer.name for layer in block.layers if layer is not block.end and divisible(layer, parts)] if parts > 1 else []
        if parts > 1 and not names:
            continue
        turns = [(number, turn) for turn in range(1, parts + 1)] if names else [(number, 0)]
        steps = (*whole.steps[: first - 1], *turns, *whole.steps[first:])
        tried = replace(whole, network=in_parts(whole.network, names, parts), steps=steps)
        programs = [select(tried.deployment(first + turn).program, features) for turn in range(len(turns))]
        arenas.append(max(plan(program).arena_bytes for program in programs))
        if arenas[-1] <= arena_limit:
            return tried
    raise Unsupported(
        f"block {number} in an arena",
        got=f"{min(arenas):,} bytes, its layers in at most {PARTS[-1]} parts",
        allowed=f"{arena_limit:,} bytes, the limit",
        next_step="allow more, or let the last layers learn alone (--train-layers)",
    )
