"""Network + rule + numeric -> Program: the straight-line kernel calls that everything else runs, costs, plans or prints.

A rule composes calls through a ``Builder`` and never sees the numeric: the builder picks the kernel's variant and turns real factors into
multipliers and shifts. Refused: momentum and dropout on the device, per-channel weights that shall learn, factors that leave the
fixed-point range, sums that could leave 32 bits.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

from edgeff import registry
from edgeff.errors import BadInput, Unsupported, short
from edgeff.ir import DTYPE_BYTES, Layer, Network, Program
from edgeff.ops import further_inputs, kind, require_finite
from edgeff.ops.building import Value
from edgeff.ops.canonical import canonical
from edgeff.ops.numerics import is_wide
from edgeff.program.lower.builder import check_size
from edgeff.program.lower.compose import Builder
from edgeff.program.lower.replay import Replay, lower_with_replay, parse_replay
from edgeff.program.recompute import chosen
from edgeff.program.unit import in_unit
from edgeff.rules import Rule, find_rule
from edgeff.rules._groups import Composed
from edgeff.rules._rates import resolved

__all__ = ["Builder", "Replay", "Value", "keeping_input", "lower", "parse_replay"]


def lower(
    network: Network,
    rule: str | None = None,
    settings: Any = None,
    *,
    seed: int = 0,
    target: str = "class",
    stochastic: bool = True,
    replay: Replay | int | None = None,
) -> Program:
    """The program of ``network``: inference only, or with one learning step of ``rule`` (batch 1, plain gradient descent).

    Args:
        network: float32, or quantised by ``edgeff.program.quantize``; its number formats are the program's.
        rule: a registered rule, None for inference only.
        settings: the rule's hyper-parameters, by default those for a device of this numeric, their rate for inputs as the digits are.
        seed: of generated feedback, rounding and negatives, 0 to 2**32 - 1.
        target: ``"class"`` (a label), ``"value"`` (numbers, by squared error; ``edgeff.program.unit``) or ``"input"`` (an autoencoder).
        stochastic: rounding of integer updates; False rounds to nearest.
        replay: a ring of samples that the rule learns from again, or the count of its entries; None for none.
    Raises: Unsupported for momentum, dropout, inputs or outputs of several formats, or anything a layer kind cannot do; BadInput for
    parameters that are NaN or infinite.
    """
    if not 0 <= seed < 2**32:
        raise BadInput("seed", got=seed, allowed="0 to 4294967295")
    if target not in ("class", "value", "input"):
        raise BadInput("target", got=repr(target), allowed="class, value, input")
    item = find_rule(rule) if rule else None
    if item is not None and (further_inputs(network) or network.outputs):
        got = f"{1 + len(further_inputs(network))} inputs and {len(network.ends)} outputs"
        raise Unsupported(f"learning with {network.name!r}", got=got, allowed="one of each", next_step="lower it without a rule")
    if item is not None and (keeping := [layer.name for layer in network if kind(layer).remembers]):
        got, step = f"layer {short(keeping[0])}, which remembers earlier inputs", "lower it without a rule"
        raise Unsupported(f"learning with {network.name!r}", got=got, allowed="layers that see one input alone", next_step=step)
    if item is not None and (wide := [layer.name for layer in network if is_wide(layer)]):
        got, step = (
            f"int16 activations and int8 weights in layer {short(wide[0])}",
            "start from the float model, or lower it without a rule",
        )
        allowed = "float32, int8, or int16 with int16 weights"
        raise Unsupported(f"learning with {network.name!r}", got=got, allowed=allowed, next_step=step)
    if item is not None and (extreme := [layer.name for layer in network if _least(layer) == -128]):
        got, step = f"weights of -128 in layer {short(extreme[0])}", "make them -127, or lower it without a rule"
        raise Unsupported(f"learning with {network.name!r}", got=got, allowed="int8 weights of -127 to 127", next_step=step)
    if item is not None and settings is None:
        settings = item.device_settings(item.learning_numeric(network))
    network = canonical(network, side_branches=item is not None and item.side_branches)
    if item is not None:
        network = in_unit(network) if target == "value" else network
        settings = resolved(item, settings, network)
    check_sizes(network)
    require_finite(network)
    _check_formats(network)
    if item is None and replay is not None:
        raise BadInput("replay", got="no rule", allowed="a rule that learns")

    def lowered(keep: str) -> Program:
        return _lowered(network, item, replace(settings, keep=keep, arena_limit=0), seed, target, stochastic, replay, tries=False)

    if getattr(settings, "chooses", False):
        part = item.groups(network)[-1].network if isinstance(item, Composed) else network
        settings = replace(settings, keep=chosen(part, lowered, settings.arena_limit), arena_limit=0)
    return _lowered(network, item, settings, seed, target, stochastic, replay)


def _check_formats(network: Network) -> None:
    """Raises Unsupported for inputs, or outputs, of several number formats: in C all of them have one type."""
    first = "float32" if network.input_quant is None else network.input_quant.dtype
    formats: dict[str, set[str]] = {
        "inputs": {first, *(layer.numeric for layer in further_inputs(network))},
        "outputs": {end.numeric for end in network.ends},
    }
    for what, each in formats.items():
        if len(each) > 1:
            step = "let a layer bring them to one format"
            got = " and ".join(sorted(each))
            raise Unsupported(f"the {what} of network {short(network.name)}", got=got, allowed="one number format", next_step=step)


def _least(layer: Layer) -> int:
    """The least int8 weight of a layer; 0 where it has none."""
    weight = layer.params.get("weight")
    return int(weight.min()) if weight is not None and weight.dtype == "int8" else 0


def _lowered(
    network: Network,
    item: Rule | None,
    settings: Any,
    seed: int,
    target: str,
    stochastic: bool,
    replay: Replay | int | None,
    *,
    tries: bool = True,
) -> Program:
    """The program of a canonical network; unless it ``tries`` the step, the scales of its integer gradients are bounds."""
    build = Builder(network, item.name if item else None, settings, seed, target, stochastic, tries=tries)
    more: list[Value] = []
    if item is None:
        values = build.run(build.x)
        output, *more = (values[layer.name] for layer in network.ends)
    else:
        item.check_device(item.learning_numeric(network))
        _check_learning(network, item, settings, target)
        output = item.lower_predict(build)
        advance = partial(_end_step, build, settings)
        if replay is None:
            build.begin("learn")
            item.lower(build)
            advance()
        else:
            lower_with_replay(build, item, Replay(replay) if isinstance(replay, int) else replay, advance)
    return build.program(output, classes=target == "class" and output.elements > 1 and not more, more=more)


def _end_step(build: Builder, settings: Any) -> None:
    """What ends each learning step, whatever the rule."""
    build.anchor(float(getattr(settings, "anchor", 0.0)))
    build.advance(int(getattr(settings, "decay_steps", 0)), float(getattr(settings, "decay", 1.0)))


def keeping_input(program: Program) -> Program:
    """``program`` whose prediction leaves the input as it was, so that the sample can be learned after it; the arena may grow.

    Raises Unsupported where a call of the prediction works in the input's own memory.
    """
    line = program.lines["infer"]
    if any(program.input in call.outputs for call in line.calls):
        step = "fill it again before every learning step"
        raise Unsupported(f"keeping the input of {program.name!r}", got="a prediction that works in it", next_step=step)
    return replace(program, lines={**program.lines, "infer": replace(line, keeps=(program.input,))})


def check_sizes(network: Network) -> None:
    """Raises Unsupported, naming the layer, for an input, an output or a parameter with more bytes than a kernel can count."""
    element = DTYPE_BYTES["float32" if network.input_quant is None else network.input_quant.dtype]
    check_size(f"the input of network {network.name!r}", prod(network.input_shape) * element)
    for layer in network:
        check_size(f"the output of layer {layer.name!r}", prod(layer.shape) * DTYPE_BYTES[layer.numeric])
        for name, value in layer.params.items():
            check_size(f"layer {layer.name!r}, {name}", value.nbytes)


def _check_learning(network: Network, rule: Rule, settings: Any, target: str) -> None:
    """Raises Unsupported for settings and networks with which no rule can learn on a device, and for values that this rule cannot learn."""
    if target == "value" and not rule.values:
        allowed = ", ".join(name for name, other in registry.rules.items() if other.values)
        raise Unsupported(f"learning values by {rule.name}", got="a rule that needs classes", allowed=allowed)
    for name in ("momentum", "dropout", "weight_decay"):
        if found := getattr(settings, name, 0.0):
            raise Unsupported(f"{name} on a device", got=found, allowed=0.0, next_step=f"set {name}=0 for the device")
    if not network.trainable:
        raise Unsupported(f"learning with {network.name!r}", got="no layer with weights", allowed="at least one")
    if target == "class" and prod(network.layers[-1].shape) < 2:
        raise Unsupported(
            f"learning classes with {network.name!r}",
            got="one output",
            allowed="one output per class, at least two",
            next_step="learn values: target value",
        )
