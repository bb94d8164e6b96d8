"""Blocks that learn one after the other in C: the bits of programs chained in Python, and nothing finished is lost with the power."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from exact_cases import digits
from test_mono_forward import residual, separable

from edgeff.codegen.chain import ChainSource, write_chain
from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import BadInput, Unsupported
from edgeff.formats.onnx.writer import write_onnx
from edgeff.ir import Array, Program
from edgeff.networks import initialised
from edgeff.networks._stack import Stack
from edgeff.ops.softmax import Softmax
from edgeff.program.chain import Chain, chain
from edgeff.program.deploy import deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.plan import plan
from edgeff.program.state import OVERHEAD_BYTES, restored
from edgeff.rules._parts import in_parts

POWER = Path(__file__).with_name("chain_power.c")
STEPS, FLASH_BYTES, BLOCK = 12, 512 * 32, 512


@pytest.fixture(scope="module")
def learner() -> Chain:
    x = digits().x_train.reshape(-1, 8, 8, 1)
    return chain(separable(), x, numeric="int8", changes={"lr": 0.05, "master": 16, "decay": 0.5, "decay_steps": 5}, seed=3)


@pytest.fixture(scope="module")
def source(learner: Chain, tmp_path_factory: pytest.TempPathFactory) -> ChainSource:
    return write_chain(learner, tmp_path_factory.mktemp("chain") / "c")


@pytest.fixture(scope="module")
def c(source: ChainSource) -> ctypes.CDLL:
    return library_of(source)


def library_of(source: ChainSource) -> ctypes.CDLL:
    """The chain and its simulated flash, built for this machine."""
    out = source.folder / "chain.so"
    host_shared_library((*source.sources, POWER), source.folder, out)
    library = ctypes.CDLL(str(out))
    library.power_flash.restype = ctypes.POINTER(ctypes.c_uint8)
    library.chain_flash_bytes.restype = ctypes.c_size_t
    return library


@pytest.fixture(scope="module")
def samples(learner: Chain) -> tuple[Array, Array]:
    return learner.deployment(1).inputs(digits().x_train[:STEPS].reshape(-1, 8, 8, 1)), digits().y_train[:STEPS]


def learn_all(c: ctypes.CDLL, samples: tuple[Array, Array], blocks: int = 2) -> int:
    """Every block that is left learns all samples and is finished, until the power fails; returns the last code."""
    code = 0
    while code == 0 and c.chain_block() <= blocks:
        for x, label in zip(*samples, strict=True):
            assert c.power_learn(x.tobytes(), x.size, int(label)) == 0
        code = c.chain_finish()
    return code


@pytest.fixture(scope="module")
def programs(learner: Chain) -> list[Program]:
    return [learner.deployment(number).program for number in range(1, learner.blocks + 1)]


def flash(c: ctypes.CDLL, programs: list[Program], source: ChainSource) -> list[dict[str, bytes]]:
    """What each block's place in flash holds, by tensor: the bytes between tensors are any."""
    held, place = ctypes.string_at(c.power_flash(), FLASH_BYTES), BLOCK
    blocks = []
    for program, block in zip(programs, source.blocks, strict=True):
        values = restored(program, block.memory, held[place:])
        blocks.append({name: value.tobytes() for name, value in values.items()})
        place += -(-(block.memory.saved_bytes + OVERHEAD_BYTES) // BLOCK) * BLOCK
    assert place - BLOCK == source.flash_bytes(BLOCK) == c.chain_flash_bytes(ctypes.c_size_t(BLOCK))
    return blocks


@pytest.fixture(scope="module")
def whole(c: ctypes.CDLL, programs: list[Program], source: ChainSource, samples: tuple[Array, Array]) -> list[dict[str, bytes]]:
    """What a run writes that nothing disturbs, with one erase of each place."""
    c.power_clear()
    assert c.power_on(-1) == 0
    assert learn_all(c, samples) == 0
    assert {c.power_erases(number) for number in range(32)} == {0, 1}
    return flash(c, programs, source)


def assert_c_and_twins_agree(learner: Chain, source: ChainSource, c: ctypes.CDLL, samples: Any, whole: list[dict[str, bytes]]) -> Chain:
    """The C holds in flash, block by block, what twins learn, and predicts the same in the end; returns the chain that has learned."""
    for number, block in enumerate(source.blocks, 1):
        deployment = learner.deployment(number)
        twin = Interpreter(deployment.program)
        for x, label in zip(*samples, strict=True):
            twin.learn(x, int(label))
        values = restored(deployment.program, block.memory, twin.save())
        assert whole[number - 1] == {name: value.tobytes() for name, value in values.items()}, number
        learner = learner.learned(deployment, values)
    final = Interpreter(learner.deployment(learner.blocks).program)
    for x, _ in zip(*samples, strict=True):
        assert c.power_predict(x.tobytes(), x.size) == final.predict(x)
    return learner


def test_the_c_learns_block_after_block_what_twins_do(
    learner: Chain, source: ChainSource, c: ctypes.CDLL, samples: Any, whole: list[dict[str, bytes]]
) -> None:
    assert_c_and_twins_agree(learner, source, c, samples, whole)


def test_a_layers_parts_learn_one_after_the_other(samples: tuple[Array, Array], tmp_path: Path) -> None:
    x = digits().x_train.reshape(-1, 8, 8, 1)
    whole = chain(residual(), x, numeric="int8", changes={"lr": 0.05}, seed=3)
    learner = replace(whole, network=in_parts(whole.network, ("a_2", "b_2", "skip_2"), 2), steps=((1, 0), (2, 1), (2, 2)))
    source = write_chain(learner, tmp_path / "c")
    text = (source.folder / "block3_model.c").read_text(encoding="utf-8")
    assert "eff_k_a_2_part_1_weight" not in text, "it is where it was learned"
    c = library_of(source)
    c.power_clear()
    assert c.power_on(-1) == 0
    assert learn_all(c, samples, blocks=3) == 0
    programs = [learner.deployment(number).program for number in (1, 2, 3)]
    held = flash(c, programs, source)
    first, second = ({name for name in block if name.startswith(("a_2", "b_2", "skip_2"))} for block in held[1:])
    assert first == {name.replace("_part_2", "_part_1") for name in second}
    learned = assert_c_and_twins_agree(learner, source, c, samples, held)

    assert held[1]["dense.weight"] != held[2]["dense.weight"], "what is not in parts goes on"
    last = Interpreter(learned.deployment(3).program)
    network = learned.finished({name: last.tensor(name) for name in held[2]})
    assert [layer.name for layer in network] == [layer.name for layer in whole.network]
    again = Interpreter(deploy(network).program)
    assert [again.predict(x) for x in samples[0]] == [last.predict(x) for x in samples[0]]


def test_layers_are_in_as_many_parts_as_the_limit_asks_for() -> None:
    stack = Stack((2, 2, 2))
    stack.conv("first", 4, (1, 1), norm=False)
    stack.conv("middle", 48, (1, 1), norm=False)
    stack.conv("wide", 96, (1, 1), norm=False)
    stack.average_pool("pool", (2, 2))
    stack.flatten()
    stack.dense("dense", 3)
    stack.add("softmax", Softmax())
    network, x = initialised(stack.network("wide"), 0), np.random.default_rng(0).standard_normal((20, 2, 2, 2)).astype(np.float32)

    def arenas(limit: int) -> tuple[tuple[tuple[int, int], ...], list[int]]:
        made = chain(network, x, numeric="int8", seed=3, arena_limit=limit)
        return made.steps, [plan(made.deployment(number).program).arena_bytes for number in range(1, made.blocks + 1)]

    steps, whole = arenas(0)
    assert steps[-1][1] == 0
    steps, parts = arenas(whole[-1] - 1)
    assert steps[-1][1] > 1
    assert max(parts) < whole[-1]
    with pytest.raises(Unsupported, match=r"^block 1 in an arena: got \d+ bytes, .*; allowed: 50 bytes, the limit; allow more"):
        arenas(50)


def test_power_that_fails_at_any_operation_on_the_flash_loses_no_finished_block(
    programs: list[Program], source: ChainSource, c: ctypes.CDLL, samples: Any, whole: list[dict[str, bytes]]
) -> None:
    operations, finished = 0, set[int]()
    while True:
        c.power_clear()
        assert c.power_on(operations) == 0
        code = learn_all(c, samples)
        if code == 0 and c.power_left() > 0:
            break
        assert c.power_on(-1) == 0
        finished.add(c.chain_block() - 1)
        assert learn_all(c, samples) == 0
        assert flash(c, programs, source) == whole, operations
        operations += 1
    assert finished == {0, 1, 2}
    assert operations > 100


def test_forgetting_leaves_finished_blocks_before_unfinished_ones(
    programs: list[Program], source: ChainSource, c: ctypes.CDLL, samples: Any, whole: list[dict[str, bytes]]
) -> None:
    assert c.power_on(-1) == 0
    assert learn_all(c, samples) == 0
    assert c.power_on(1) == 0
    assert c.chain_block() == 3
    assert c.chain_forget() != 0, "the power fails before all is erased"
    assert c.power_on(-1) == 0
    assert c.chain_block() == 2
    assert c.chain_forget() == 0
    assert c.chain_block() == 1
    assert learn_all(c, samples) == 0
    assert flash(c, programs, source) == whole


def test_blocks_share_one_arena_and_a_weight_is_in_the_image_once(source: ChainSource) -> None:
    assert source.arena_bytes == max(block.memory.arena_bytes for block in source.blocks)
    text = (source.folder / "block2_model.c").read_text(encoding="utf-8")
    assert "eff_k_conv_weight" not in text
    assert "eff_k_conv_weight[" in (source.folder / "block1_model.c").read_text(encoding="utf-8")


def test_a_rule_without_blocks_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^learning one block at a time: got rule bp; allowed: mono_forward$"):
        chain(separable(), rule="bp")


def test_the_command_writes_the_blocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_onnx(separable(), tmp_path / "m.onnx")
    learning = ("--with-training", "--rule", "mono_forward")
    run, out = CommandLine(capsys), tmp_path / "c"
    result = run.ok("export", tmp_path / "m.onnx", "--to", "c", *learning, "--blocks", "-o", out, "--json").json
    assert result["arena_bytes"] == max(block["arena_bytes"] for block in result["blocks"])
    assert (
        {"chain.h", "chain.c", "eff_chain.c", "block2_model.c"}
        <= {*result["files"]}
        == {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    )
    refused = run("export", tmp_path / "m.onnx", "--to", "c", "--blocks", "-o", out)
    assert refused.status == 2
    assert "option --blocks: got no --with-training" in refused.err
