"""A network that learns one block of layers at a time: a deployment for each block, all of one quantised network.

Block k's program has the layers up to block k and predicts by that block's head, the last block's by the network's own. It learns block k;
the blocks below it are constants, which hold what they have learned (``Chain.learned``) or, on a device, are read from flash
(``edgeff.codegen.chain``). Refused: a rule without the setting ``block``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from edgeff.errors import BadInput
from edgeff.ir import Array, Network, Numeric
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.learned import learned_network
from edgeff.rules.local_heads import headed_blocks, output_layers

RULE = "mono_forward"


@dataclass(frozen=True)
class Chain:
    """``network``, quantised and with heads, before any block has learned; ``settings`` of the rule; ``blocks``, how many there are.

    ``held`` is what finished blocks have learned, by tensor.
    """

    network: Network
    settings: Any
    seed: int
    stochastic: bool
    blocks: int
    held: Mapping[str, Array] = field(default_factory=dict)

    def deployment(self, block: int) -> Deployment:
        """The deployment on which ``block``, from 1, learns. It is lowered before blocks below have learned, as for a device."""
        parts, _ = headed_blocks(self.network)
        last = output_layers(self.network, parts[block - 1])[-1].name if block < self.blocks else self.network.layers[-1].name
        names = [layer.name for layer in self.network]
        part = replace(self.network, layers=self.network.layers[: names.index(last) + 1])
        given = {item.name: getattr(self.settings, item.name) for item in fields(self.settings)} | {"block": block}
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
        return learned_network(last.network, last.program, values)


def chain(
    network: Network,
    x: Array | None = None,
    *,
    rule: str = RULE,
    numeric: Numeric | None = None,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
    stochastic: bool = True,
) -> Chain:
    """The chain of ``network``, before any block has learned; arguments and errors as of ``edgeff.program.deploy.deploy``.

    >>> from edgeff.networks import initialised, structure
    >>> parts = chain(initialised(structure("8-6-4-3"), 0))
    >>> parts.blocks, [layer.name for layer in parts.deployment(1).network.trainable]
    (2, ['dense_1', 'dense_1_head'])
    """
    if rule != RULE:
        raise BadInput("learning one block at a time", got=f"rule {rule}", allowed=RULE)
    given = {**(changes or {}), "block": 1}
    return chain_of(deploy(network, x, rule=rule, numeric=numeric, changes=given, seed=seed, stochastic=stochastic), stochastic=stochastic)


def chain_of(deployment: Deployment, *, stochastic: bool = True) -> Chain:
    """The chain of a deployment by the rule ``mono_forward``; a block that its settings name does not matter."""
    if deployment.program.rule != RULE:
        raise BadInput("learning one block at a time", got=f"rule {deployment.program.rule or 'none'}", allowed=RULE)
    blocks = len(headed_blocks(deployment.network)[0])
    return Chain(deployment.network, deployment.settings, deployment.program.seed, stochastic, blocks)
