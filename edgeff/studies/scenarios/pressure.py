"""A barometer that drifts, and learns its own error from a reference: a model of a part of the class of the LPS22HH.

    reading = p (1 + g) + o + c (T - 25) + s (h - 25) + a t + noise

with o uniform within +-15 hPa (soldering), g within +-0.1 %, c within +-2 Pa/K (three times the data sheet's .65, after stress), h the
temperature through a first-order lag of 3 h, s within +-1 Pa/K, noise of .65 Pa RMS (data sheet DocID030890); a within +-50 Pa a year,
which is an assumption. Temperatures swing by day and year between -10 and 50 C; weather is a first-order process of 8 hPa and two days. A
sample comes every ten minutes. The network (3-20-1 with biases, 101 parameters) reads the pressure, T and h, and gives the reading's error
in Pa, which is taken off. The control that it has to beat is a line through the same samples, by least squares: an offset and a gain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeff.device.targets.host import HostTarget
from edgeff.ir import Array, Numeric
from edgeff.networks import initialised, structure
from edgeff.networks.heads import with_output
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.lower import Replay
from edgeff.program.state import state_bytes
from edgeff.rules import find_rule

PRESSURE = "pressure"
NETWORK = "3-20-1"
REPLAY, RATE = Replay(64, 16, "last"), 0.1
"""Chosen on devices 100 to 107, which no result is of: 64 samples kept, 16 steps on them for each new one."""
PER_DAY = 144
"""Samples of a day."""
WEEK, YEAR = 7 * PER_DAY, 365 * PER_DAY
LEARNED = 4 * WEEK
"""For how many samples the reference is there."""
NEVER_STOP = 1_000_000
TARGET_PA = 50.0
FACTORY = 0
"""The seed of the first weights: every device leaves with the same."""
ROOM = 4.0
"""How much further integer outputs reach than those of the first weights: soldering may go to their ends."""
SOLDERING_PA, GAIN, PER_KELVIN_PA, LAGGED_PA, AGEING_PA, NOISE_PA = 1500.0, 1e-3, 2.0, 1.0, 50.0, 0.65
LAG = 18.0
"""The time constant of the lag, in samples: three hours."""
READINGS = (100, 200, 500, 1000, 2000, LEARNED)
"""After how many samples it is looked whether the target is met."""
Float = NDArray[np.float64]


@dataclass(frozen=True)
class Sensed:
    """What a device came to, in Pa RMS over the week that follows the first LEARNED samples: ``raw``, its readings; ``line``, the control;
    ``after``, what the device leaves. The same ``later``, after NEVER_STOP samples from all of which it learned; the line stayed as it was
    fitted. ``recovered``: after how many samples the error was within TARGET_PA, None if it never was.
    """

    numeric: str
    raw: float
    line: float
    after: float
    recovered: int | None
    raw_later: float
    line_later: float
    later: float
    parameters: int
    arena_bytes: int
    save_bytes: int


def _process(rng: np.random.Generator, count: int, samples: float) -> Float:
    """A stationary first-order process of deviation 1 and a time constant of so many samples."""
    from scipy.signal import lfilter

    keep = np.exp(-1.0 / samples)
    drawn = rng.standard_normal(count) * np.sqrt(1.0 - keep**2)
    drawn[0] = rng.standard_normal()
    return np.asarray(lfilter([1.0], [1.0, -keep], drawn))


def series(seed: int, count: int) -> tuple[Array, Float]:
    """The first ``count`` samples of device ``seed``: inputs (count, 3) float32 near scale 1, and the readings' errors in Pa (count,)."""
    from scipy.signal import lfilter, lfiltic

    device, *weather = (np.random.default_rng([seed, 7, part]) for part in range(4))  # the first samples do not depend on the count
    ends = np.array([GAIN, SOLDERING_PA, PER_KELVIN_PA, LAGGED_PA, AGEING_PA])
    gain, offset, per_kelvin, per_lagged, ageing = device.uniform(-ends, ends)
    time = np.arange(count)
    day, year = 2 * np.pi * time / PER_DAY, 2 * np.pi * (time / YEAR + device.random())
    temperature = np.clip(20.0 + 14.0 * np.sin(year) + 7.0 * np.sin(day) + 3.0 * _process(weather[0], count, 36.0), -10.0, 50.0)
    share = 1.0 - np.exp(-1.0 / LAG)
    start = lfiltic([share], [1.0, share - 1.0], [temperature[0]])
    lagged = lfilter([share], [1.0, share - 1.0], temperature, zi=start)[0]
    pressure = 101_300.0 + 800.0 * _process(weather[1], count, 2.0 * PER_DAY)
    error = pressure * gain + offset + per_kelvin * (temperature - 25.0) + per_lagged * (lagged - 25.0) + ageing * time / YEAR
    error += NOISE_PA * weather[2].standard_normal(count)
    reading = pressure + error
    x = np.stack([(reading - 101_300.0) / 1000.0, (temperature - 20.0) / 15.0, (lagged - 20.0) / 15.0], axis=1)
    return x.astype(np.float32), error


def rms(values: Float) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(values**2)))


def shipped(numeric: Numeric, rule: str, changes: Mapping[str, Any], seed: int, replay: Replay | None = REPLAY) -> Deployment:
    """The program with first weights, in the units of the errors of 20 other devices: these have nothing in common to be learned."""
    others = [series(1000 + number, PER_DAY) for number in range(20)]
    x, error = np.concatenate([part[0] for part in others]), np.concatenate([part[1] for part in others])
    x = x[np.random.default_rng([FACTORY, 4]).permutation(len(x))]
    spread = float(error.std())
    fresh = with_output(initialised(structure(NETWORK, softmax=False, bias=True), FACTORY), 0.0, spread)
    network = replace(fresh, metadata={"values": {"centre": 0.0, "spread": spread}})
    item = find_rule(rule)
    room = replace(item.headroom(network, item.device_settings(numeric), numeric), output=ROOM)
    return deploy(network, x, rule=rule, numeric=numeric, changes=changes, seed=seed, target="value", headroom=room, replay=replay)


def sense(
    *,
    rule: str = "bp",
    numeric: Numeric = "int16",
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
    samples: int = NEVER_STOP,
    replay: Replay | None = REPLAY,
    say: Callable[[str, int, int], None] = lambda _what, _done, _of: None,
) -> tuple[Sensed, Deployment]:
    """What device ``seed`` came to, by the C on this machine, and the deployment that learned.

    ``samples``: for how long it goes on learning, four weeks or more.
    """
    deployment = shipped(numeric, rule, {"lr": RATE, **(changes or {})}, seed, replay)
    host, (x, error) = HostTarget(deployment.program), series(seed, max(samples, LEARNED) + WEEK)
    inputs, targets = deployment.inputs(x), deployment.targets(error[:, None])
    quant = deployment.program.tensors[deployment.program.output].quant

    def left(first: int) -> float:
        """The error over the week from ``first`` on."""
        week = slice(first, first + WEEK)
        said = host.predict_many(inputs[week])[1].astype(np.float64).reshape(-1)
        return rms(error[week] - (said if quant is None else (said - quant.zero_point) * quant.scale[0]))

    recovered, done = None, 0
    for count in READINGS:
        host.learn_many(inputs[done:count], targets[done:count])
        done = count
        recovered = count if recovered is None and left(LEARNED) <= TARGET_PA else recovered
        say("learning", count, samples)
    after = left(LEARNED)
    line = np.polyfit(x[:LEARNED, 0], error[:LEARNED], 1)
    off = error - np.polyval(line, x[:, 0])
    last = len(x) - WEEK
    host.learn_many(inputs[done:last], targets[done:last])
    say("learning", samples, samples)
    week, later = slice(LEARNED, LEARNED + WEEK), slice(last, last + WEEK)
    parameters = sum(value.size for layer in deployment.network for value in layer.params.values())
    memory = host.memory
    sensed = Sensed(
        deployment.program.numeric,
        rms(error[week]),
        rms(off[week]),
        after,
        recovered,
        rms(error[later]),
        rms(off[later]),
        left(last),
        parameters,
        memory.arena_bytes,
        state_bytes(memory),
    )
    return sensed, deployment
