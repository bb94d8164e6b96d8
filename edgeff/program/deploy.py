"""Network + task + rule + numeric -> the program a board runs: quantised with room to learn, lowered, its inputs in the program's dtype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Headroom, Network, Numeric, Program
from edgeff.ops import by_input, further_inputs, kind, prepend, raw_input, split_input
from edgeff.ops.canonical import canonical
from edgeff.ops.mfcc import audio_samples
from edgeff.program.lower import Replay, keeping_input, lower
from edgeff.program.quantize import quantise_array, quantize
from edgeff.program.stream import streaming
from edgeff.rules import Rule, find_rule
from edgeff.rules._groups import Composed
from edgeff.rules._rates import resolved

CALIBRATION_SAMPLES = 200
VALUES_ROOM = 2.0
"""The factor on the range of outputs that learn values: these drift, but do not grow as logits do."""


@dataclass(frozen=True)
class Deployment:
    """A program, the (possibly quantised) network it came from, the settings of its learning step, its learning target and its replay."""

    program: Program
    network: Network
    settings: Any
    target: str = "class"
    replay: Replay | int | None = None

    def inputs(self, x: Array) -> Array:
        """Samples x (n, *input shape) float32, or int16 audio, in the program's input dtype, (n, inputs).

        Raises BadInput for NaN and infinity: integers cannot represent them.
        """
        flat = np.asarray(x, np.float32).reshape(len(x), -1)
        if bad := int(np.count_nonzero(~np.isfinite(flat))):
            raise BadInput("samples", got=f"{bad} values that are NaN or infinite", allowed="finite numbers")
        if raw_input(self.network) == "int16":
            return audio_samples(flat)
        quant = self.network.input_quant
        if quant is None or quant.dtype == "float32":
            return flat
        quants = {"input": quant} | {layer.name: layer.quant["output"] for layer in further_inputs(self.network)}
        parts = by_input(self.network, flat)
        return np.concatenate([quantise_array(parts[name], each).reshape(len(x), -1) for name, each in quants.items()], axis=1)

    def targets(self, y: Array) -> Array:
        """Values y (n, outputs) to learn, in the format of the program's target.

        Raises BadInput for NaN and infinity, and for values outside the range that integer outputs span by more than one step, which would
        be clipped: a logistic output in int8 ends at 255/256, which stands for 1.
        """
        values, quant = np.asarray(y, np.float64).reshape(len(y), -1), self.program.tensors[self.program.output].quant
        if bad := int(np.count_nonzero(~np.isfinite(values))):
            raise BadInput("values to learn", got=f"{bad} that are NaN or infinite", allowed="finite numbers")
        if quant is None:
            return values.astype(np.float32)
        scale, least, most = quant.scale[0], -128 if quant.dtype == "int8" else -32767, 127 if quant.dtype == "int8" else 32767
        whole = np.rint(values / scale) + quant.zero_point
        if outside := int(np.count_nonzero((whole < least - 1) | (whole > most + 1))):
            low, high = ((end - quant.zero_point) * scale for end in (least, most))
            step = "calibrate on samples that span them, or use another number format"
            raise BadInput("values to learn", got=f"{outside} outside the range", allowed=f"{low:.4g} to {high:.4g}", next_step=step)
        return np.clip(whole, least, most).astype(quant.dtype)


def deploy(
    network: Network,
    x: Array | None = None,
    *,
    rule: str | None = None,
    numeric: Numeric | None = None,
    tail_numeric: Numeric | None = None,
    changes: Mapping[str, Any] | None = None,
    seed: int = 0,
    target: str = "class",
    stochastic: bool = True,
    headroom: Headroom | None = None,
    replay: Replay | int | None = None,
    keep_input: bool = False,
    stream: bool = False,
) -> Deployment:
    """The deployment of ``network``.

    Args:
        network: float, or quantised already in these number formats.
        x: calibration samples (n, *input shape), needed to quantise; the first 200 are used. The rule's rate follows them too.
        rule: what learns on the device, None for inference only.
        numeric: what the program computes in; by default what the network is in.
        tail_numeric: what the layers compute in that the last rule of a composition trains (``frozen:dense_1,bp``); by default ``numeric``.
        changes: settings of the rule other than its defaults for a device.
        seed: of generated feedback, rounding and negatives, 0 to 2**32 - 1.
        target: ``"class"`` (a label), ``"value"`` (numbers) or ``"input"`` (an autoencoder).
        stochastic: rounding of integer updates; False rounds to nearest.
        headroom: for quantisation; by default none for inference and the rule's own for learning.
        replay: a ring of samples that the rule learns from again, or the count of its entries; None for none.
        keep_input: the input survives a prediction, so that the sample can be learned after it, in a larger arena.
        stream: audio comes hop by hop (``edgeff.program.stream``).
    Raises: BadInput for settings, numerics or data that do not fit; Unsupported for anything that the rule or a layer cannot do on a
    device.
    """
    item: Rule | None = find_rule(rule) if rule else None
    raw_shape = network.input_shape
    first, network = split_input(canonical(network, side_branches=item is not None and item.side_branches))
    numerics = network.numerics if numeric is None else tuple(dict.fromkeys((numeric, tail_numeric or numeric)))
    numeric, learned = numerics[0], numerics[-1]
    settings = None
    if item is not None:
        item.check_device(learned)
        settings = item.device_settings(learned)
        if unknown := sorted(set(changes or {}) - {field.name for field in fields(settings)}):
            raise BadInput(f"unknown setting of rule {rule}", got=repr(unknown[0]), allowed=", ".join(f.name for f in fields(settings)))
        settings = replace(settings, **(changes or {}))
        if item.prepare_needed(network):
            if network.input_quant is not None:
                raise Unsupported(
                    f"rule {rule}",
                    got="a quantised network without the layers it needs",
                    allowed=f"one trained with {rule}",
                    next_step="start from the float model",
                )
            network = item.prepare(network, settings, seed)
        samples = None if x is None else np.asarray(x)[: CALIBRATION_SAMPLES if first is not None else None]
        settings = resolved(
            item, settings, network, samples if first is None or samples is None else kind(first).forward(first, {}, samples)
        )
    if numerics != ("float32",) and network.numerics == ("float32",):
        if x is None:
            raise BadInput(
                "quantisation",
                got="no calibration data",
                allowed="samples of the task",
                next_step="name the task, or quantise first (edgeff quantize)",
            )
        learning = [layer.name for layer in item.learns(network, settings=settings)] if item else []
        samples = np.asarray(x)[:CALIBRATION_SAMPLES]
        read = samples if first is None else kind(first).forward(first, {}, samples)
        formats = dict.fromkeys(_tail(item, network), learned) if learned != numeric else {}

        def quantised(settings: Any) -> Network:
            room = headroom or _room(item, network, settings, learned, target)
            return quantize(
                network, read, numeric, headroom=dict.fromkeys(learning, room) if formats else room, learning=learning, formats=formats
            )

        in_integers = quantised(settings)
        if item is not None and (coarse := item.on_steps(in_integers, settings, changes or {})) != settings:
            settings, in_integers = coarse, quantised(coarse)  # with room for its modulation
        network = in_integers
    if network.numerics != numerics:
        raise BadInput(
            "numeric",
            got=f"{'+'.join(numerics)} for a model that is {'+'.join(network.numerics)}",
            allowed="+".join(network.numerics),
            next_step="start from the float model",
        )
    if first is not None:
        network = prepend(first, network, raw_shape)
    program = lower(network, rule, settings, seed=seed, target=target, stochastic=stochastic, replay=replay)
    program = streaming(program) if stream else program
    program = keeping_input(program) if keep_input else program
    return Deployment(program, network, settings, target, replay)


def _room(rule: Rule | None, network: Network, settings: Any, numeric: Numeric, target: str) -> Headroom:
    """The room in ranges that a rule asks for; none for inference."""
    room = rule.headroom(network, settings, numeric) if rule else Headroom()
    return replace(room, output=min(room.output, VALUES_ROOM)) if target == "value" and network.layers[-1].trainable else room


def _tail(rule: Rule | None, network: Network) -> tuple[str, ...]:
    """The names of the layers that the last rule of a composition trains. Raises BadInput for any other rule."""
    if not isinstance(rule, Composed):
        raise BadInput(
            "a number format of its own for the layers that learn",
            got=f"rule {rule.name}, which has all layers" if rule else "no rule",
            allowed="a composition such as frozen:dense_1,bp",
            next_step="name the layers that learn (--train-layers)",
        )
    return tuple(layer.name for layer in rule.groups(network)[-1].network)
