"""A spotter on continuous audio: hop by hop the scores of whole windows, to the bit, in less RAM; what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from edgeff.device.boards import load_board
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Numeric
from edgeff.networks import initialised, structure
from edgeff.ops.mfcc import with_features
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.plan import plan
from edgeff.program.state import restored
from edgeff.program.stream import streaming
from edgeff.verify import BOARDS
from edgeff.verify.executions import Emulated

RECIPE = {"rate": 4000, "frame": 50, "hop": 32, "fft": 64, "bands": 12, "coefficients": 5, "high_hz": 2000.0}
HOP, HOPS, CLIP = 32, 10, 320


def spotter(numeric: Numeric, rule: str | None = None) -> Deployment:
    """Five coefficients of nine frames, and a dense network behind them."""
    clips = audio(40 * HOPS).reshape(40, CLIP)
    network = initialised(structure("45-8-4"), 0)
    return deploy(with_features(network, RECIPE, CLIP), clips, rule=rule, numeric=numeric, seed=1)


def audio(hops: int) -> Array:
    """Noise whose loudness changes, with pauses."""
    rng = np.random.default_rng(4)
    loud = np.repeat(rng.choice([0, 40, 3000, 20_000], -(-hops // 3)), 3 * HOP)[: hops * HOP]
    return np.clip(rng.normal(size=hops * HOP) * loud, -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("numeric", ["float32", "int16", "int8"])
def test_the_scores_of_a_stream_are_those_of_its_windows(numeric: Numeric) -> None:
    whole, sound = spotter(numeric).program, audio(24)
    program = streaming(whole)
    targets = (Interpreter(program), HostTarget(program))
    oneshot = Interpreter(whole)
    padded = np.concatenate([np.zeros(CLIP, np.int16), sound])
    for number in range(24):
        hop = sound[number * HOP : (number + 1) * HOP]
        if number % 3:
            for target in targets:
                target.line("listen", hop)
            continue
        oneshot.predict(padded[(number + 1) * HOP :][:CLIP])
        for target in targets:
            scores = target.line("infer", hop)[0]
            assert scores.tobytes() == oneshot.output().tobytes(), number
    oneshot.predict(np.concatenate([np.zeros(CLIP - HOP, np.int16), hop]))
    for target in targets:
        target.reset_state()
        assert target.line("infer", hop)[0].tobytes() == oneshot.output().tobytes(), "as if nothing had been heard"


def test_a_stream_is_learned_as_its_windows_are() -> None:
    deployment, sound = spotter("int8", "bp"), audio(20)
    program = streaming(deployment.program)
    twin, c, oneshot = Interpreter(program), HostTarget(program), Interpreter(deployment.program)
    padded = np.concatenate([np.zeros(CLIP, np.int16), sound])
    for number in range(20):
        hop, label = sound[number * HOP : (number + 1) * HOP], np.array([number % 4], np.int32)
        name = "learn" if number % 2 else "listen"
        arguments = (hop, label) if number % 2 else (hop,)
        twin.line(name, *arguments)
        c.line(name, *arguments)
        if number % 2:
            oneshot.line("learn", padded[(number + 1) * HOP :][:CLIP], label)
    learned = restored(program, c.memory, c.save())
    assert {"dense_1.weight", "dense_2.weight"} <= learned.keys()
    for name, value in learned.items():
        assert value.tobytes() == twin.tensor(name).tobytes() == oneshot.tensor(name).tobytes(), name


def test_a_stream_takes_less_ram_than_a_second_of_audio() -> None:
    network = with_features(initialised(structure("ds_cnn"), 0), {}, 16_000)
    whole = deploy(network, np.zeros((2, 16_000), np.int16) + np.arange(16_000, dtype=np.int16), numeric="int8").program
    assert plan(streaming(whole)).arena_bytes < 18_000
    assert plan(whole).arena_bytes > 32_000, "a second of audio"


def test_the_emulated_core_hears_what_the_twin_hears() -> None:
    program, sound = streaming(spotter("int8").program), audio(HOPS)
    twin = Interpreter(program)
    hops = sound.reshape(-1, HOP)[:4]
    results = Emulated(program, load_board(BOARDS[0])).results(hops, lambda: None)
    for hop, scores in zip(hops, results.scores, strict=True):
        assert scores.tobytes() == twin.line("infer", hop)[0].tobytes()


def test_what_reads_no_audio_or_no_whole_hops_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"^listening by '45-8-4': got a program that reads no audio; allowed: mfcc first"):
        streaming(deploy(initialised(structure("45-8-4"), 0)).program)
    odd = with_features(initialised(structure("45-8-4"), 0), RECIPE, CLIP + 8)
    with pytest.raises(BadInput, match=r"^audio of a program that listens: got 328 samples; allowed: whole hops$"):
        streaming(deploy(odd).program)
