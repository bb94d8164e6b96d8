"""Learned state: C and Python write and refuse the same bytes, callbacks see it in order, and no loss of power loses the last good one."""

from __future__ import annotations

import ctypes
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import deployed, samples

from edgeff.codegen.folder import RUNTIME_FOLDER, Source, write_c
from edgeff.codegen.scan import defined
from edgeff.device.targets.host import HostTarget
from edgeff.device.toolchains.host import host_compiler, host_shared_library
from edgeff.device.toolchains.zig import executable
from edgeff.errors import BadInput
from edgeff.ir import Numeric
from edgeff.program.codes import Code
from edgeff.program.interpreter import Interpreter
from edgeff.program.plan import plan
from edgeff.program.state import HEADER_BYTES, StateCode, float_runs, learned_of, restored, saved, state_code
from edgeff.resources import templates_folder

NUMERICS: list[Numeric] = ["float32", "int16", "int8"]
POWER = Path(__file__).with_name("state_power.c")
WRITE = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t)


def test_the_codes_have_the_numbers_of_the_header() -> None:
    text = (RUNTIME_FOLDER / "eff_state.h").read_text(encoding="utf-8")
    numbers = re.findall(r"^#define EFF_STATE_([A-Z_]+) +\(?(-?\d+)\)?(?: |$)", text, re.MULTILINE)
    assert {name: int(number) for name, number in numbers} == {code.name: code.value for code in StateCode}


def learned(numeric: Numeric, rule: str = "pepita", steps: int = 5) -> HostTarget:
    """A program that has learned as C."""
    deployment = deployed(rule, numeric)
    host = HostTarget(deployment.program)
    host.learn_many(deployment.inputs(samples(steps)), np.arange(steps) % 4)
    return host


def sealed(header: bytes, payload: bytes) -> bytes:
    """A state with check sums that are right."""
    return header[:16] + struct.pack("<I", zlib.crc32(header[:16])) + payload + struct.pack("<I", zlib.crc32(payload))


def refuses(host: HostTarget, state: bytes, code: StateCode) -> None:
    """Both the C and Python refuse ``state`` by ``code``, and the running model stays as it is."""
    before = host.arena()
    assert host._c.eff_restore_buffer(state, ctypes.c_size_t(len(state))) == code
    assert state_code(learned_of(host.program, host.memory), state) == code
    assert (host.arena() == before).all()
    with pytest.raises(BadInput, match=r"^saved state: got "):
        host.restore(state)
    with pytest.raises(BadInput, match=r"^saved state: got "):
        restored(host.program, host.memory, state)


@pytest.mark.parametrize("numeric", NUMERICS)
def test_python_reads_what_c_writes_and_c_what_python_writes(numeric: Numeric) -> None:
    host = learned(numeric)
    values = restored(host.program, host.memory, host.save())
    for name, value in values.items():
        assert (value == host.tensor(name)).all()
    twin = Interpreter(host.program)
    twin.restore(host.save())
    assert twin.save() == host.save()
    x = deployed("pepita", numeric).inputs(samples(1))[0]
    twin.learn(x, 1)
    host.learn(x, 1)
    assert twin.save() == host.save()
    host.init()
    host.restore(twin.save(sequence=7))
    assert all((host.tensor(name) == twin.tensor(name)).all() for name in values)


@pytest.mark.parametrize("numeric", NUMERICS)
def test_every_flipped_bit_is_refused_and_changes_nothing(numeric: Numeric) -> None:
    host = learned(numeric)
    state, before = host.save(), host.arena()
    for bit in range(8 * len(state)):
        position, mask = bit // 8, 1 << bit % 8
        damaged = bytearray(state)
        damaged[position] ^= mask
        other_order = position == 3 and mask == 128  # the header says that this bit reads as the other byte order
        code = StateCode.ABSENT if position < 3 else StateCode.VERSION if other_order else StateCode.DAMAGED
        assert host._c.eff_restore_buffer(bytes(damaged), ctypes.c_size_t(len(damaged))) == code
        assert (host.arena() == before).all()
        if position < HEADER_BYTES or bit % 8 == position % 8:
            refuses(host, bytes(damaged), code)


def test_each_refusal_has_a_code_of_its_own() -> None:
    host = learned("float32")
    state = host.save()
    payload = state[HEADER_BYTES:-4]
    for length in (0, 3, HEADER_BYTES - 1, HEADER_BYTES, len(state) // 2, len(state) - 1):
        refuses(host, state[:length], StateCode.TRUNCATED)
    refuses(host, b"\xff" * len(state), StateCode.ABSENT)
    refuses(host, sealed(state[:3] + b"\x02" + state[4:16], payload), StateCode.VERSION)
    refuses(host, HostTarget(deployed("dfa", "float32").program).save(), StateCode.FOREIGN)
    for word in (8, 12):
        other = bytearray(state)
        other[word] ^= 1
        refuses(host, sealed(bytes(other), payload), StateCode.FOREIGN)
    host.restore(state)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("rule", "runs"), [("pepita", 1), ("scff", 2)])
def test_weights_that_are_not_finite_are_refused_wherever_they_stand(rule: str, runs: int, value: float) -> None:
    host = learned("float32", rule)
    state = host.save()
    assert len(float_runs(host.program, host.memory)) == runs, "of scff an integer lies between the weights and the input it keeps"
    places = [place for first, last in float_runs(host.program, host.memory) for place in range(first, last, 4)]
    assert len(places) == sum(t.elements for t in host.program.saved if t.dtype == "float32")
    for place in places:
        payload = bytearray(state[HEADER_BYTES:-4])
        payload[place : place + 4] = np.float32(value).tobytes()
        refuses(host, sealed(state, bytes(payload)), StateCode.NOT_FINITE)


@pytest.mark.parametrize("numeric", NUMERICS)
def test_a_save_calls_back_in_order_in_aligned_pieces(numeric: Numeric) -> None:
    host = learned(numeric)
    pieces: list[tuple[int, bytes]] = []

    def write(_context: Any, offset: int, place: int, length: int) -> int:
        pieces.append((offset, ctypes.string_at(place, length)))
        return length

    assert host._c.eff_save(WRITE(write), None) == StateCode.OK
    assert b"".join(piece for _, piece in pieces) == host.save()
    assert [offset for offset, _ in pieces] == [32 * number for number in range(len(pieces))]
    assert all(len(piece) == 32 for _, piece in pieces[:-1])


def test_a_save_that_fails_at_any_write_says_so() -> None:
    host = learned("int8")
    count = -(-len(host.save()) // 32)
    for failing in range(count):
        left = failing

        def write(_context: Any, _offset: int, _place: int, length: int) -> int:
            nonlocal left
            left -= 1
            return length if left >= 0 else length - 1

        assert host._c.eff_save(WRITE(write), None) == StateCode.NO_WRITE
        assert left == -1, "no write after one that failed"


def reader(state: bytes, after: Callable[..., bool] = lambda _offset, _length: True) -> Any:
    """A reader of ``state`` that fails where ``after`` says so."""

    def read(_context: Any, offset: int, place: int, length: int) -> int:
        piece = state[offset : offset + length] if after(offset, length) else b""
        ctypes.memmove(place, piece, len(piece))
        return len(piece)

    return WRITE(read)


def test_a_reader_that_fails_in_the_second_reading_leaves_the_weights_as_exported() -> None:
    host = learned("int8")
    state, size = host.save(), host.memory.persistent_bytes
    assert host._c.eff_restore(reader(state), None) == StateCode.OK
    assert host._c.eff_restore(reader(state, lambda _offset, length: length < size), None) == StateCode.LOST
    now = host.arena()[:size]
    host.init()
    assert (now == host.arena()[:size]).all()


def test_a_reader_that_fails_in_the_first_reading_changes_nothing() -> None:
    host = learned("int8")
    state, before = host.save(), host.arena()
    places = [0, *range(HEADER_BYTES, len(state) - 4, 32), len(state) - 4]
    for place in places:
        failing = reader(state, lambda offset, _length, place=place: offset != place)
        assert host._c.eff_restore(failing, None) == StateCode.TRUNCATED
        assert (host.arena() == before).all()


def test_the_state_takes_no_ram_but_a_small_stack(tmp_path: Path) -> None:
    """No function keeps a copy of the payload: there is nothing static, and no frame holds more than a write, a header and some words."""
    sources = sorted(RUNTIME_FOLDER.glob("*.c"))
    flags = ["-std=c99", "-O2", "-fstack-usage", f"-I{RUNTIME_FOLDER}"]
    frames = {}
    for source in sources:
        code = tmp_path / f"{source.stem}.o"
        subprocess.run([*host_compiler(), *flags, "-c", str(source), "-o", str(code)], check=True, timeout=120)
        symbols = subprocess.run(["nm", str(code)], capture_output=True, text=True, check=True, timeout=120).stdout
        assert not [line for line in symbols.splitlines() if line.split()[-2] in "bBcCdDsS"]
        for line in code.with_suffix(".su").read_text(encoding="utf-8").splitlines():
            place, size, kind = line.split("\t")
            assert kind == "static"
            frames[place.split(":")[-1]] = int(size)
    assert {"eff_state_save", "eff_state_restore", "eff_slots_save"} <= set(frames)
    assert max(frames.values()) <= 192, "32 bytes of a write, 20 of a header, and on a host of 64 bits the registers"


def linked(source: Source, body: str) -> set[str]:
    """The names of the functions and constants of a program whose ``main`` is ``body``, without those that it does not need."""
    main, program = source.folder / "main_of_test.c", source.folder / "main_of_test"
    main.write_text(f'#include "model.h"\nint main(void) {{ {body} }}\n', encoding="utf-8")
    unused = "-Wl,-dead_strip" if sys.platform == "darwin" else "-Wl,--gc-sections"
    flags = ["-std=c99", "-O1", "-ffunction-sections", "-fdata-sections", unused, f"-I{source.folder}"]
    files = [*map(str, source.sources), str(main)]
    subprocess.run([*host_compiler(), *flags, *files, "-o", str(program)], check=True, timeout=120)
    symbols = subprocess.run(["nm", str(program)], capture_output=True, text=True, check=True, timeout=120).stdout
    return {line.split()[-1].lstrip("_") for line in symbols.splitlines()}


def test_a_program_that_does_not_save_links_nothing_of_the_state(tmp_path: Path) -> None:
    source = write_c(deployed("pepita", "float32").program, tmp_path)
    runtime = "".join((RUNTIME_FOLDER / name).read_text(encoding="utf-8") for name in ("eff_state.c", "eff_slots.c"))
    names = {*defined(runtime), "eff_learned", "eff_floats", "eff_save", "eff_restore", "eff_save_buffer", "eff_restore_buffer"}
    learning = "eff_init(); return eff_predict() + eff_learn(0);"
    assert not linked(source, learning) & names
    saving = linked(source, f"static uint8_t state[EFF_SAVE_BYTES]; eff_save_buffer(state, sizeof state); {learning}")
    assert {"eff_state_save_buffer", "eff_state_save", "eff_learned"} <= saving & names
    assert "eff_slots_save" not in saving


def test_a_buffer_that_is_too_small_is_left_alone() -> None:
    host = learned("int8")
    needed = len(host.save())
    buffer = (ctypes.c_uint8 * needed)(*([0xA5] * needed))
    assert host._c.eff_save_buffer(buffer, ctypes.c_size_t(needed - 1)) == 0
    assert bytes(buffer) == b"\xa5" * needed


@pytest.fixture(scope="module")
def power(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model on a flash whose power fails."""
    folder = tmp_path_factory.mktemp("power")
    program = deployed("pepita", "int8").program
    source = write_c(program, folder / "c")
    host_shared_library([*source.sources, POWER], source.folder, folder / "power.so", ["EFF_SLOTS=power_slots"])
    library: Any = ctypes.CDLL(str(folder / "power.so"))
    library.power_save.argtypes = [ctypes.c_long]
    library.eff_input.restype = library.power_flash.restype = ctypes.c_void_p
    library.persistent = source.memory.persistent_bytes
    return library


def weights(library: Any) -> bytes:
    return ctypes.string_at(ctypes.addressof(ctypes.c_uint8.in_dll(library, "eff_arena")), library.persistent)


def learn(library: Any, label: int) -> bytes:
    """What persists after one more step."""
    x = np.random.default_rng(label).integers(-128, 128, 12).astype(np.int8)
    ctypes.memmove(library.eff_input(), x.ctypes.data, 12)
    assert library.eff_learn(label % 4) == 0
    return weights(library)


def test_slots_take_turns_and_the_newest_is_restored(power: Any) -> None:
    power.power_clear()
    power.eff_init()
    assert power.power_restore() == StateCode.ABSENT
    for step in range(5):
        state = learn(power, step)
        assert power.power_save(-1) == StateCode.OK
        power.eff_init()
        assert power.power_restore() == StateCode.OK
        assert weights(power) == state


@pytest.mark.parametrize("saves", [0, 1, 2, 3])
def test_no_loss_of_power_at_any_byte_loses_the_last_good_state(power: Any, saves: int) -> None:
    power.power_clear()
    power.eff_init()
    old = weights(power)
    for step in range(saves):
        old = learn(power, step)
        assert power.power_save(-1) == StateCode.OK
    flash = ctypes.string_at(power.power_flash(), 8192)
    new = learn(power, 9)
    length = 4096 + 24 + power.persistent  # an erased slot, then every byte of the state
    outcomes = []
    for budget in [*range(0, 4096, 61), *range(4096, length + 1)]:
        ctypes.memmove(power.power_flash(), flash, len(flash))
        power.eff_init()
        assert power.power_restore() == (StateCode.OK if saves else StateCode.ABSENT)
        learn(power, 9)
        code = power.power_save(budget)
        assert (code == StateCode.OK) == (budget == length)
        power.eff_init()
        restored_code = power.power_restore()
        if budget < length and not saves:
            assert restored_code in (StateCode.ABSENT, StateCode.DAMAGED)
        else:
            assert restored_code == StateCode.OK
            assert weights(power) == (new if budget == length else old)
        outcomes.append(restored_code)
        assert power.power_save(-1) == StateCode.OK  # and the next save works again
    assert StateCode.OK in outcomes


@pytest.mark.parametrize(
    ("flaws", "code"),
    [
        ((4096 + 7, 0, 4096), StateCode.DAMAGED),
        ((4096 + 30, 0, 4096), StateCode.DAMAGED),
        ((2**32 - 1, 1, 4096), StateCode.NO_WRITE),
        ((2**32 - 1, 0, 23), StateCode.NO_WRITE),
        ((2**32 - 1, 0, None), StateCode.NO_WRITE),
    ],
    ids=["header-stuck", "payload-stuck", "no-erase", "no-room-for-a-header", "no-room-for-the-last-byte"],
)
def test_a_flash_that_fails_is_told_and_the_last_good_state_stays(power: Any, flaws: tuple[int, int, int | None], code: StateCode) -> None:
    power.power_clear()
    power.eff_init()
    old = learn(power, 0)
    assert power.power_save(-1) == StateCode.OK
    learn(power, 1)
    before = ctypes.string_at(power.power_flash(), 8192)
    stuck, worn, slot_bytes = flaws
    power.power_flaws(ctypes.c_uint32(stuck), worn, 23 + power.persistent if slot_bytes is None else slot_bytes)
    assert power.power_save(-1) == code
    power.power_flaws(ctypes.c_uint32(2**32 - 1), 0, 4096)
    if code == StateCode.NO_WRITE:
        assert ctypes.string_at(power.power_flash(), 8192) == before
    power.eff_init()
    assert power.power_restore() == StateCode.OK
    assert weights(power) == old


def test_a_step_that_diverges_goes_back_to_the_newest_good_slot(power: Any) -> None:
    program = deployed("pepita", "int8").program
    place = plan(program).offsets["dense_1.weight"]
    for saves, code in ((0, Code.DIVERGED), (2, Code.ROLLED_BACK)):
        power.power_clear()
        power.eff_init()
        good = weights(power)
        for step in range(saves):
            good = learn(power, step)
            assert power.power_save(-1) == StateCode.OK
        arena = ctypes.addressof(ctypes.c_uint8.in_dll(power, "eff_arena"))
        ctypes.memmove(arena + place, b"\x7f\x81" * 48, 96)
        for step in range(4):  # windows of 64 of its 96 and 32 weights take turns
            ctypes.memmove(power.eff_input(), b"\x05" * 12, 12)
            if (now := power.eff_learn(step % 4)) != Code.OK:
                break
        assert (now, weights(power)) == (code, good)


def test_weights_that_are_no_numbers_are_not_saved() -> None:
    """They would take the place of the older good state, and after two of them none would be left."""
    host = learned("float32")
    host._view("dense_2.weight")[3] = np.nan
    calls: list[int] = []

    def write(_context: Any, _offset: int, _place: int, length: int) -> int:
        calls.append(length)
        return length

    assert host._c.eff_save(WRITE(write), None) == StateCode.NOT_FINITE
    assert host.save() == b""
    assert not calls


def test_more_slots_take_turns_and_pass_one_that_takes_no_write(power: Any) -> None:
    power.power_clear()
    power.eff_init()
    power.power_count(ctypes.c_uint32(4))
    written = []
    for step in range(6):
        before = ctypes.string_at(power.power_flash(), 4 * 4096)
        if step == 5:
            power.power_flaws(ctypes.c_uint32(4096 + 30), 0, 4096)  # a byte of the slot whose turn it is
        state = learn(power, step)
        assert power.power_save(-1) == StateCode.OK
        after = ctypes.string_at(power.power_flash(), 4 * 4096)
        written.append(
            [place for place in range(4) if before[4096 * place : 4096 * place + 4096] != after[4096 * place : 4096 * place + 4096]]
        )
        power.eff_init()
        assert power.power_restore() == StateCode.OK
        assert weights(power) == state
    assert written == [[0], [1], [2], [3], [0], [1, 2]]
    power.power_flaws(ctypes.c_uint32(2**32 - 1), 0, 4096)
    power.power_count(ctypes.c_uint32(2))


@pytest.mark.parametrize(("driver", "core"), [("stm32l4", "cortex_m4"), ("nrf5", "cortex_m0"), ("rp2040", "cortex_m0plus")])
def test_flash_drivers_compile_for_their_cores(driver: str, core: str, tmp_path: Path) -> None:
    """No more is claimed of them: they have not run on a chip."""
    shutil.copytree(RUNTIME_FOLDER, tmp_path / "model")
    flags = ["-target", "thumb-freestanding-eabi", f"-mcpu={core}", "-std=c99", "-Os", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    source = templates_folder() / "flash" / f"{driver}.c"
    assert "Never run on a chip" in source.read_text(encoding="utf-8")
    command = [str(executable()), "cc", *flags, f"-I{tmp_path}", "-c", str(source), "-o", str(tmp_path / "driver.o")]
    subprocess.run(command, check=True, timeout=120)


def test_sequence_numbers_wrap_around(power: Any) -> None:
    program = deployed("pepita", "int8").program
    host = HostTarget(program)
    values = {tensor.name: host.tensor(tensor.name) for tensor in program.by_role("variable", "state")}
    for older, newer in ((2**32 - 1, 0), (5, 6), (2**31 - 1, 2**31)):
        for swapped in (False, True):
            power.power_clear()
            states = [saved(program, host.memory, values, sequence) for sequence in (older, newer)]
            for place, state in zip((4096, 0) if swapped else (0, 4096), states, strict=True):
                ctypes.memmove(power.power_flash() + place, state, len(state))
            power.eff_init()
            assert power.power_save(-1) == StateCode.OK
            overwritten = ctypes.string_at(power.power_flash() + (4096 if swapped else 0), 16)
            assert struct.unpack("<I", overwritten[4:8])[0] == (newer + 1) % 2**32
