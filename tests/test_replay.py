"""Replay: a ring of samples is planned, saved or not, learned from to the bit as from samples that are given, and it helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from small_networks import samples, small

from edgeff import registry
from edgeff.codegen.folder import write_c
from edgeff.device.boards import load_board
from edgeff.device.firmware import build
from edgeff.device.simulate import rules_that_fit
from edgeff.device.targets.host import HostTarget
from edgeff.device.targets.unicorn import UnicornTarget
from edgeff.errors import BadInput, Unsupported
from edgeff.ir import Array, Numeric
from edgeff.networks import initialised, structure
from edgeff.ops.mfcc import with_features
from edgeff.program.codes import Code
from edgeff.program.cost import cost
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import Replay, lower, parse_replay
from edgeff.program.memory_map import memory_map
from edgeff.program.plan import plan
from edgeff.tasks import Data
from edgeff.train.loop import fit
from edgeff.verify import verify

NETWORK = "12-16-8-4"
CASES: list[tuple[str, Numeric, Numeric | None]] = [
    ("bp", "float32", None),
    ("bp", "int8", None),
    ("pepita", "int16", None),
    ("frozen:dense_1,bp", "int8", "float32"),
    ("frozen:dense_1,dfa", "int8", "int16"),
    ("frozen:dense_1,frozen:dense_2,bp", "int8", "float32"),
    ("local_heads:dense_1,bp", "int8", "float32"),
]


def deployed(rule: str, numeric: Numeric, tail: Numeric | None = None, replay: Replay | int | None = None) -> Deployment:
    network = initialised(structure(NETWORK, bias=True), 0)
    return deploy(network, samples(40, network), rule=rule, numeric=numeric, tail_numeric=tail, replay=replay)


def stream(deployment: Deployment, count: int) -> tuple[Array, Array]:
    """Samples in the program's dtype and their labels."""
    return deployment.inputs(samples(count, deployment.network)), np.random.default_rng(4).integers(0, 4, count)


# ---------------------------------------------------------------- the ring alone


def placed(count: int, entries: int, *, spread: bool, key: int = 7) -> tuple[int, int]:
    slot, counter = np.zeros(1, np.int32), np.array([count], np.uint32)
    registry.kernels["eff_ring_place"].run(slot, counter, entries=entries, spread=int(spread), key=key)
    return int(slot[0]), int(counter[0])


def test_the_last_samples_go_round_the_ring() -> None:
    count, slots = 0, []
    for _ in range(9):
        slot, count = placed(count, 3, spread=False)
        slots.append(slot)
    assert slots == [0, 1, 2] * 3
    assert count == 3  # it never falls back below the entries that are filled
    assert [placed(before, 3, spread=False) for before in (2, 5)] == [(2, 3), (2, 3)]
    assert placed(0, 1, spread=False) == (0, 1)


def test_a_spread_keeps_each_sample_with_the_same_chance() -> None:
    entries, total, runs = 4, 12, 3000
    kept = np.zeros(total)
    for run in range(runs):
        ring, count = np.full(entries, -1), 0
        for sample in range(total):
            slot, count = placed(count, entries, spread=True, key=run * 2654435761 % 2**32)
            if slot >= 0:
                ring[slot] = sample
        kept[ring] += 1
    assert np.abs(kept / runs - entries / total).max() < 5 * np.sqrt(entries / total * (1 - entries / total) / runs)
    assert placed(2**32 - 1, 4, spread=True)[1] == 2**32 - 1


def test_each_filled_entry_is_drawn_with_the_same_chance() -> None:
    slot, drawn = np.zeros(1, np.int32), []
    for step in range(4000):
        registry.kernels["eff_ring_draw"].run(slot, np.array([5], np.uint32), np.array([step], np.uint32), entries=8, key=11)
        drawn.append(int(slot[0]))
    assert set(drawn) == set(range(5))
    assert np.abs(np.bincount(drawn) / 4000 - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 4000)


def test_a_balanced_ring_holds_the_rare_class_beside_the_common_one() -> None:
    """Of 600 samples one in fifty is of class 2 and none of class 0; the others are of class 1, each kept with the same chance."""
    entries, kept = 8, np.zeros(600)
    for run in range(12):
        count, tally, labels, numbers = np.zeros(1, np.uint32), np.zeros(6, np.uint32), np.zeros(entries, np.int32), np.full(entries, -1)
        for number in range(600):
            label, slot = np.array([2 if number % 50 == 0 else 1], np.int32), np.zeros(1, np.int32)
            registry.kernels["eff_ring_balance"].run(slot, count, tally, labels, label, entries=entries, classes=3, key=run * 7919)
            if slot[0] >= 0:
                labels[slot[0]], numbers[slot[0]] = label[0], number
        assert np.bincount(labels, minlength=3).tolist() == tally[3:].tolist() == [0, 4, 4]
        assert tally[:3].tolist() == [0, 588, 12]
        kept[numbers] += 1
    common = np.arange(600) % 50 != 0
    early, late = (kept[:300][common[:300]].sum(), kept[300:][common[300:]].sum())
    assert early + late == 48
    assert abs(early - 24) < 5 * np.sqrt(12)
    with pytest.raises(BadInput, match="'balanced' without classes; allowed: last, spread"):
        lower(small("12-4-12", softmax=False), "bp", target="input", replay=Replay(4, keep="balanced"))


# ---------------------------------------------------------------- what is learned


@pytest.mark.parametrize("keep", ["spread", "last", "balanced"])
@pytest.mark.parametrize(("rule", "numeric", "tail"), CASES)
def test_replay_learns_what_the_samples_it_draws_would_teach(rule: str, numeric: Numeric, tail: Numeric | None, keep: Any) -> None:
    """The oracle is the program without replay, given the new sample and then each one that the ring drew, as recorded outside it."""
    deployment = deployed(rule, numeric, tail, Replay(5, 2, keep))
    ring, plain = Interpreter(deployment.program), Interpreter(lower(deployment.network, rule, deployment.settings))
    entries: dict[int, int] = {}
    x, labels = stream(deployment, 14)
    for number, (sample, label) in enumerate(zip(x, labels, strict=True)):
        drawn: list[int] = []

        def watch(call: Any, drawn: list[int] = drawn, number: int = number) -> None:
            if call.kernel in ("eff_ring_place", "eff_ring_balance") and (slot := int(ring.tensor(call.outputs[0])[0])) >= 0:
                entries[slot] = number
            if call.kernel == "eff_ring_draw":
                drawn.append(entries[int(ring.tensor(call.outputs[0])[0])])

        ring.line("learn", sample, np.array([label], np.int32), after=watch)
        assert len(drawn) == 2
        for index in (number, *drawn):
            plain.learn(x[index], int(labels[index]))
    learned = [tensor.name for tensor in plain.program.by_role("variable", "state")]
    for name in learned:
        assert ring.tensor(name).tobytes() == plain.tensor(name).tobytes(), name
    assert int(plain.tensor("step")[0]) == 14 * 3


def test_commit_keeps_without_learning_and_replay_learns_without_a_sample() -> None:
    deployment = deployed("frozen:dense_1,bp", "int8", "float32", 4)
    twin, program = Interpreter(deployment.program), deployment.program
    x, labels = stream(deployment, 3)
    weights = [tensor.name for tensor in program.by_role("variable")]
    before = {name: twin.tensor(name) for name in weights}
    for sample, label in zip(x, labels, strict=True):
        twin.line("commit", sample, np.array([label], np.int32))
    assert all((twin.tensor(name) == before[name]).all() for name in weights)
    assert (int(twin.tensor("replay.count")[0]), int(twin.tensor("step")[0])) == (3, 0)
    assert twin.tensor("replay.labels").ravel().tolist() == [*labels, 0]
    assert program.lines["replay"].arguments == ()
    twin.line("replay")
    assert any((twin.tensor(name) != before[name]).any() for name in weights)
    assert int(twin.tensor("step")[0]) == 1


def test_what_is_kept_is_what_the_layers_that_learn_read() -> None:
    def kept(rule: str, tail: Numeric | None = None, numeric: Numeric = "int8") -> tuple[tuple[int, ...], str]:
        tensor = deployed(rule, numeric, tail, 6).program.tensors["replay.samples"]
        return tensor.shape, tensor.dtype

    assert kept("bp") == ((6, 12), "int8")
    assert kept("bp", numeric="float32") == ((6, 12), "float32")
    assert kept("frozen:dense_1,bp", "float32") == ((6, 16), "int8")  # before it is converted
    assert kept("frozen:dense_2,bp", "float32") == ((6, 8), "int8")
    assert kept("local_heads:dense_1,bp", "float32") == ((6, 12), "int8")  # what is below learns too


def test_a_replayed_step_runs_neither_the_features_nor_the_frozen_layers() -> None:
    network = with_features(initialised(structure("10-16-4"), 0), {"frame": 64, "fft": 64, "hop": 64, "bands": 12, "coefficients": 10}, 64)
    program = deploy(network, rule="frozen:dense_1,bp", replay=8).program
    kernels = {name: [call.kernel for call in line.calls] for name, line in program.lines.items()}
    assert kernels["commit"][:2] == kernels["learn"][:2] == ["eff_mfcc_f32", "eff_dense_f32"]
    assert "eff_mfcc_f32" not in kernels["replay"]
    assert kernels["replay"].count("eff_dense_f32") == 1
    assert cost(program).macs("replay") == 2 * 16 * 4


def test_an_autoencoder_replays_without_labels() -> None:
    network = initialised(structure("12-4-12", softmax=False), 0)
    deployment = deploy(network, samples(40, network), rule="bp", numeric="int8", target="input", replay=3)
    assert "replay.labels" not in deployment.program.tensors
    twin, host = Interpreter(deployment.program), HostTarget(deployment.program)
    for sample in deployment.inputs(samples(8, network)):
        for target in (twin, host):
            target.learn(sample)
            target.line("commit", sample)
            target.line("replay")
    for tensor in deployment.program.persistent:
        assert twin.tensor(tensor.name).tobytes() == host.tensor(tensor.name).tobytes()


# ---------------------------------------------------------------- every execution


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "numeric", "tail"), CASES[:1] + CASES[3:5])
def test_every_execution_agrees(rule: str, numeric: Numeric, tail: Numeric | None) -> None:
    deployment = deployed(rule, numeric, tail)
    found = verify(deployment.network, samples(6, deployment.network), rule=rule, steps=6, replay=Replay(4, 2, "last"))
    assert found.ok
    assert [row for row in found if row.allowed == 0 and row.differing] == []
    assert sum("each of 6 runs of commit, replay" in row.what for row in found) == 3


def test_an_empty_ring_is_refused_everywhere_and_changes_nothing(tmp_path: Path) -> None:
    program = deployed("bp", "int8", replay=4).program
    for target in (Interpreter(program), HostTarget(program)):
        with pytest.raises(BadInput, match="line 'replay': got there is no sample yet"):
            target.line("replay")
        assert int(target.tensor("step")[0]) == 0
    source = write_c(program, tmp_path / "c")
    assert "EFF_EMPTY" in (source.folder / "model.h").read_text(encoding="utf-8")
    core = UnicornTarget(build(source.folder, load_board("rpi_pico"), tmp_path / "project"))
    state = core.read_arena()[: source.memory.persistent_bytes]
    assert core.call("replay") == Code.EMPTY
    assert core.read_arena()[: source.memory.persistent_bytes] == state


# ---------------------------------------------------------------- memory and state


def test_the_ring_is_planned_to_the_byte() -> None:
    plain, ring = (plan(deployed("frozen:dense_1,bp", "int8", "float32", replay).program) for replay in (None, 10))
    assert ring.persistent_bytes - plain.persistent_bytes == 10 * 16 + 10 * 4 + 4 + 4  # features, labels, count, and up to 8 bytes
    program = deployed("frozen:dense_1,bp", "int8", "float32", 10).program
    stays = {stay["tensor"]: stay for stay in memory_map(program, ring)}
    assert (stays["replay.samples"]["role"], stays["replay.samples"]["line"]) == ("ring", "persistent")


def test_a_saved_state_holds_the_ring_or_leaves_it_alone() -> None:
    saved, volatile = (deployed("bp", "int8", replay=Replay(6, saved=choice)) for choice in (True, False))
    memories = [plan(item.program) for item in (saved, volatile)]
    assert memories[0].saved_bytes == memories[0].persistent_bytes
    assert memories[1].saved_bytes == plan(deployed("bp", "int8").program).saved_bytes < memories[1].persistent_bytes
    x, labels = stream(saved, 9)
    for deployment, keeps in ((saved, True), (volatile, False)):
        host = HostTarget(deployment.program)
        host.learn_many(x, labels)
        state, ring = host.save(), host.tensor("replay.samples")
        weights = host.tensor("dense_1.weight")
        host.init()
        assert not host.tensor("replay.samples").any()
        host.restore(state)
        assert host.tensor("dense_1.weight").tobytes() == weights.tobytes()
        assert (host.tensor("replay.samples") == ring).all() == keeps
        assert int(host.tensor("replay.count")[0]) == (9 if keeps else 0)


# ---------------------------------------------------------------- refusals


def test_a_ring_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"tensor 'replay.samples': got 12,884,901,888 bytes; allowed: at most 2,147,483,647"):
        deployed("bp", "int8", replay=2**30)
    wrong: list[tuple[dict[str, Any], str]] = [({"entries": 0}, "entries: got 0"), ({"steps": -1}, "steps"), ({"keep": "all"}, "keep")]
    for settings, said in wrong:
        with pytest.raises(BadInput, match=f"replay, {said}"):
            Replay(**({"entries": 4} | settings))
    with pytest.raises(BadInput, match="replay: got no rule; allowed: a rule that learns"):
        deploy(initialised(structure(NETWORK), 0), replay=4)


@pytest.mark.parametrize("text", ["", "x", "4,steps", "4,steps=x", "4,keep=all", "4,saved=perhaps", "4,5", "-1", "1e3", "4,entries=5"])
def test_a_setting_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="replay"):
        parse_replay(text)


def test_settings_are_read_as_they_are_written() -> None:
    for replay in (Replay(4), Replay(64, 3, "last", saved=False)):
        assert parse_replay(str(replay)) == replay


def test_advice_on_other_rules_keeps_the_ring() -> None:
    deployment = deployed("frozen:dense_1,bp", "int8", "float32", 400)
    board = load_board("nucleo_l4r5zi")
    ram = next(region for region in board.regions if region.kind == "ram")
    room = plan(deployed("frozen:dense_1,bp", "int8", "float32").program).arena_bytes
    small = replace(board, regions=tuple(replace(r, length_bytes=room + 6000) if r is ram else r for r in board.regions))
    assert rules_that_fit(deployment, small) == []


# ---------------------------------------------------------------- the claim, and its control


def known_digits() -> tuple[Data, Deployment, Deployment]:
    data = registry.tasks["digits"].load(1)
    known = data.y_train < 5
    plain = initialised(structure("64-32-10"), 1)
    made = fit(plain, "bp", data.x_train[known], data.targets(data.y_train[known]), replace(registry.rules["bp"].settings, epochs=20), 1)

    def deployment(ring: Replay | None) -> Deployment:
        x = data.x_train[known]
        return deploy(made.network, x, rule="frozen:dense_1,bp", numeric="int8", tail_numeric="float32", replay=ring)

    return data, deployment(None), deployment(Replay(64, 4))


def test_replay_keeps_the_old_classes_while_new_ones_come() -> None:
    """Digits 5 to 9 come one class after the other, once. The control learns each as often in a row as the other takes steps."""
    data, plain, ring = known_digits()
    rng = np.random.default_rng(1)
    new = np.concatenate([rng.permutation(np.flatnonzero(data.y_train == label)) for label in range(5, 10)])
    accuracy = {}
    for name, deployment, order in (("control", plain, np.repeat(new, 5)), ("replay", ring, new)):
        host, x = HostTarget(deployment.program), deployment.inputs(data.x_train)
        for index in rng.permutation(np.flatnonzero(data.y_train < 5))[: 64 if name == "replay" else 0]:
            host.line("commit", x[index], np.array([data.y_train[index]], np.int32))
        host.learn_many(x, data.y_train, order)
        accuracy[name] = float(np.mean(host.predict_many(deployment.inputs(data.x_test))[0] == data.y_test))
    assert accuracy["replay"] > accuracy["control"] + 0.15


# ---------------------------------------------------------------- the command line


@pytest.mark.slow
def test_the_commands_take_a_ring(cli: CommandLine, folder: Path) -> None:
    cli.ok("train", "digits", "--network", "64-16-10", "--rule", "bp", "--epochs", "4", "-o", folder / "m.onnx")
    options = ("--rule", "bp", "--train-layers", "dense_2", "--numeric", "int8", "--tail-numeric", "float32", "--replay", "16,steps=2")
    board = ("--board", "nucleo_l4r5zi")
    learning = cli.ok("cost", "m.onnx", *options, "--json").json
    assert set(learning["lines"]) == {"commit", "replay"}
    assert learning["learn"]["macs"] == 64 * 16 + 3 * 2 * 16 * 10
    cli.ok("build", "m.onnx", *board, *options, "-o", "fw")
    assert "int eff_replay(void);" in next((folder / "fw").rglob("model.h")).read_text(encoding="utf-8")
    run = cli.ok("profile", "m.onnx", *board, *options, "--json").json
    assert {name: line["macs"] for name, line in run["lines"].items()} == {"commit": 64 * 16, "replay": 2 * 16 * 10}
    assert "commit of" in cli.ok("profile", "m.onnx", *board, *options).out
    cli.ok("simulate", "m.onnx", "digits", *board, *options, "--samples", "30")
    assert cli.ok("verify", "m.onnx", *board, *options, "--json").json["ok"]
    c = cli.ok("export", "m.onnx", "--to", "c", "--with-training", *options, "-o", "c", "--json").json
    assert "--replay 16,steps=2,keep=spread,saved=yes" in (folder / "c" / "model.c").read_text(encoding="utf-8")
    assert c["rule"] == "frozen:dense_1,bp"
    ended = cli("cost", "m.onnx", "--replay", "16")
    assert (ended.status, "option --replay: got no rule" in ended.err) == (2, True)
