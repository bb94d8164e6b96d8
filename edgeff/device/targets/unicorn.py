"""Runs firmware on an emulated Cortex-M: a linked firmware and its board come in, predictions, memory, counts and stack figures go out.

The whole firmware runs, from the reset vector on, at full speed; commands go through its mailbox in RAM, as a debugger would give them.
Only ``profile`` counts, and slows the run down. Refused: cores the emulator does not have. A fault of the guest (an access outside of the
board's memory, an undefined instruction) or a run past the time limit ends in an EdgeffError that names the place.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from unicorn import arm_const, unicorn_const
from unicorn.unicorn_py3.unicorn import Uc, UcError

from edgeff.device.cores import model_for
from edgeff.device.firmware import ARENA_SYMBOL, Firmware
from edgeff.device.targets.counting import counter
from edgeff.device.targets.profile import Profile, profile_edges
from edgeff.device.targets.tracing import CallTrace
from edgeff.device.targets.watchdog import limit
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.ir import Array, Board, Call

CORES = {
    "cortex-m0": arm_const.UC_CPU_ARM_CORTEX_M0,
    "cortex-m0plus": arm_const.UC_CPU_ARM_CORTEX_M0,  # the same instructions
    "cortex-m3": arm_const.UC_CPU_ARM_CORTEX_M3,
    "cortex-m4": arm_const.UC_CPU_ARM_CORTEX_M4,
    "cortex-m7": arm_const.UC_CPU_ARM_CORTEX_M7,
    "cortex-m33": arm_const.UC_CPU_ARM_CORTEX_M33,
}
COMMANDS = {"infer": 1, "learn": 2, "init": 3, "save": 4, "restore": 5}
"""What the mailbox takes; a further line is FIRST_LINE and its number, counted in the order of their names."""
FIRST_LINE = 16

_BODY = re.compile(r"eff_(\w+)_calls")
_DTYPES = {1: np.int8, 2: np.int16, 4: np.int32, 256 + 4: np.float32}
_NEEDED = (ARENA_SYMBOL, "eff_mailbox", "eff_facts", "eff_free_start", "eff_stack_top", "eff_infer_calls")
_PAGE = 0x1000
_SYSTEM = 0xE000E000  # the core's own registers, among them the switch of the FPU
_PAINT = 0xA5
_BREAKPOINT = 7  # the exception number by which the emulator reports BKPT
_WAITS = b"\x00\xbe"  # bkpt 0
_EXCEPTIONS = {
    1: "undefined instruction",
    2: "supervisor call",
    3: "instruction fetch outside of memory",
    4: "data access outside of memory",
}
_NOWHERE = 0xFFFFFFFE
_MAILBOX = struct.Struct("<IiiIII")
_FACTS = struct.Struct("<8I")


class UnicornTarget:
    """A board that is emulated, with its firmware loaded, started and waiting for commands.

    ``time_limit_s`` is the wall time after which one command is given up. Raises Unsupported on an unknown core and EdgeffError when the
    firmware does not get as far as its wait for commands.
    """

    def __init__(self, firmware: Firmware, board: Board | None = None, time_limit_s: float = 60.0) -> None:
        self.firmware, self.board = firmware, board or firmware.board
        self._limit_s = time_limit_s
        self._exception = 0
        self._symbols = firmware.image.symbols
        bodies = [match[1] for match in map(_BODY.fullmatch, sorted(self._symbols)) if match]
        self._commands = COMMANDS | {
            line: FIRST_LINE + number for number, line in enumerate(name for name in bodies if name not in COMMANDS)
        }
        if self.board.core not in CORES:
            raise Unsupported(f"core of board {self.board.name}", got=repr(self.board.core), allowed=", ".join(CORES))
        if missing := [name for name in _NEEDED if name not in self._symbols]:
            raise BadInput(
                f"ELF {firmware.elf}",
                got=f"no symbol {', '.join(missing)}",
                allowed="a firmware of edgeff, its lists of calls not inlined",
            )
        try:
            self._uc = self._machine()
        except UcError as error:
            raise EdgeffError(f"board {self.board.name} cannot be emulated", got=str(error)) from None
        self._boot()
        _, _, _, self._input, self._output, self._saved = self._mailbox()
        facts = _FACTS.unpack(self._peek("eff_facts", _FACTS.size))
        self.inputs, self.outputs, self.classes, self._has_learn, _, self._save_bytes, *kinds = facts
        if unknown := [kind for kind in kinds if kind not in _DTYPES] or (self._has_learn and "eff_learn_calls" not in self._symbols):
            raise BadInput(f"ELF {firmware.elf}", got=f"eff_facts {facts} ({unknown})", allowed="a firmware of edgeff")
        self.input_dtype, self.output_dtype = (np.dtype(_DTYPES[kind]) for kind in kinds)

    def write_input(self, array: Array) -> None:
        """Writes the input of the next predict or learn: as many elements as the model has inputs, in its own dtype. BadInput otherwise."""
        if array.dtype != self.input_dtype or array.size != self.inputs:
            raise BadInput("input", got=f"{array.size} elements of {array.dtype}", allowed=f"{self.inputs} elements of {self.input_dtype}")
        self._uc.mem_write(self._input, np.ascontiguousarray(array).tobytes())

    def predict(self) -> int:
        """The best class for the input that was written; the scores are then in ``output``."""
        return self._command("infer")

    def line(self, name: str, label: int = 0) -> int:
        """Runs a line on what its arguments hold in the arena, and returns what its function does: 0, or -1 for a label that is no class.

        Raises BadInput for a line that the firmware does not have.
        """
        if name not in self._commands or self._body(name) not in self._symbols:
            raise BadInput("line", got=repr(name), allowed=", ".join(line for line in self._commands if self._body(line) in self._symbols))
        return self._command(name, label)

    @staticmethod
    def _body(line: str) -> str:
        return f"eff_{line}_calls"

    def trace(self, places: Sequence[Sequence[tuple[int, int]]]) -> CallTrace:
        """What looks at the arena between the calls of inference: ``trace.run(target.predict)``.

        ``places`` says for each call in turn where it looks when the call has returned: (offset, bytes).
        """
        arena = self._symbols[ARENA_SYMBOL].address
        absolute = [[(arena + offset, size_bytes) for offset, size_bytes in call] for call in places]
        return CallTrace(self._uc, self._symbols[self._body("infer")], absolute)

    def learn(self, label: int) -> None:
        """One training step on the input that was written. Raises Unsupported when the firmware was built without training."""
        self._require_learning()
        self._command("learn", label)

    def init(self) -> None:
        """Sets the weights back to those in flash and the state to zero."""
        self._command("init")

    def output(self) -> Array:
        """The scores after ``predict``, of shape (outputs,) and in the model's dtype."""
        return np.frombuffer(self.read(self._output, self.outputs * self.output_dtype.itemsize), self.output_dtype).copy()

    def save(self) -> bytes:
        """The learned state, as ``eff_save`` writes it. Raises EdgeffError when the RAM left over cannot hold it."""
        self._require_learning()
        count = self._command("save")
        if count < 0:
            raise EdgeffError("the RAM that is left over cannot hold the saved state", got=f"{self._save_bytes} bytes")
        state = self.read(self._saved, count)
        self._paint(self._saved, count)
        return state

    def restore(self, state: bytes) -> None:
        """Puts back what ``save`` gave. Raises BadInput when it has another length, or when the model refuses it."""
        self._require_learning()
        if len(state) != self._save_bytes:
            raise BadInput("saved state", got=f"{len(state)} bytes", allowed=f"{self._save_bytes} bytes")
        self._uc.mem_write(self._saved, state)
        result = self._command("restore")
        self._paint(self._saved, len(state))
        if result != 0:
            raise BadInput("saved state", got=f"refused by the model ({result})", allowed="what save gave")

    def read(self, place: int | str, size_bytes: int) -> bytes:
        """``size_bytes`` of memory from an address or a symbol on.

        Raises BadInput on an unknown symbol and outside of the board's memory.
        """
        if isinstance(place, str) and place not in self._symbols:
            raise BadInput("unknown symbol", got=repr(place))
        try:
            return self._peek(place, size_bytes)
        except UcError as error:
            raise BadInput(f"memory at {place}, {size_bytes} bytes", got=str(error), allowed="the memory of the board") from None

    def write_arena(self, offset: int, values: Array) -> None:
        """Writes an array to the arena, ``offset`` bytes from its start. Raises BadInput where it does not lie inside."""
        raw = np.ascontiguousarray(values).tobytes()
        if not 0 <= offset <= self.firmware.arena_bytes - len(raw):
            raise BadInput(f"{len(raw)} bytes of the arena", got=f"offset {offset}", allowed=f"inside {self.firmware.arena_bytes} bytes")
        self._uc.mem_write(self._symbols[ARENA_SYMBOL].address + offset, raw)

    def read_arena(self) -> bytes:
        """The whole arena: variables, state and scratch."""
        return self._peek(ARENA_SYMBOL, self.firmware.arena_bytes)

    @property
    def stack_bytes(self) -> int:
        """The most stack that was in use since the reset, in bytes: what is no longer as the host painted it before the start.

        Includes the start-up code, ``main`` and every command so far: run predict and learn before reading it. Raises EdgeffError when the
        stack has reached the arena.
        """
        floor, top = self._stack_region()
        memory = np.frombuffer(self._peek(floor, top - floor), np.uint8)
        touched = np.flatnonzero(memory != _PAINT)
        if touched.size and touched[0] == 0:
            raise EdgeffError("the stack has run into the arena", got=f"all of {top - floor} bytes used", next_step="choose a larger board")
        return int(memory.size - touched[0]) if touched.size else 0

    def profile(self, line: str, program_calls: Sequence[Call], label: int = 0) -> Profile:
        """Runs a line once on what was written and counts it.

        Counted is one run of the body of kernel calls and all that it calls, not the entry and the result around it. A ``learn`` learns.
        Raises CheckFailed when the firmware makes another number of calls than ``program_calls`` has, Unsupported on a core without a
        cycle model.
        """
        if line == "learn":
            self._require_learning()
        model = model_for(self.board.core)
        body = self._symbols[self._body(line)]
        self._post(line, label)
        self._uc.ctl_flush_tb()
        self._run(self._pc() + len(_WAITS), body.address)
        stop = self._uc.reg_read(arm_const.UC_ARM_REG_LR) & ~1
        counting = counter(body.address, body.address + body.size_bytes, stop)
        counting.attach(self._uc)
        try:
            self._uc.ctl_flush_tb()
            self._run(body.address, stop)
        finally:
            counting.detach(self._uc)
            self._uc.ctl_flush_tb()
        self._run(stop)
        edges = counting.edges()
        return profile_edges(line, edges, counting.calls, program_calls, self.firmware.functions, self._peek, self.board, model)

    def _machine(self) -> Uc:
        uc = Uc(unicorn_const.UC_ARCH_ARM, unicorn_const.UC_MODE_THUMB | unicorn_const.UC_MODE_MCLASS)
        uc.ctl_set_cpu_model(CORES[self.board.core])
        rights = {
            "flash": unicorn_const.UC_PROT_READ | unicorn_const.UC_PROT_EXEC,
            "ram": unicorn_const.UC_PROT_READ | unicorn_const.UC_PROT_WRITE,
        }
        for region in self.board.regions:
            first = region.origin // _PAGE * _PAGE
            end = -(-(region.origin + region.length_bytes) // _PAGE) * _PAGE
            uc.mem_map(first, end - first, rights[region.kind])
        uc.mem_map(_SYSTEM, _PAGE)
        for address, content in self.firmware.image.segments:
            uc.mem_write(address, content)
        uc.hook_add(unicorn_const.UC_HOOK_INTR, self._on_exception)
        return uc

    def _boot(self) -> None:
        floor, top = self._stack_region()
        self._paint(floor, top - floor)
        flash = next(region for region in self.board.regions if region.kind == "flash")
        stack, reset = struct.unpack("<II", self._peek(flash.origin, 8))
        self._uc.reg_write(arm_const.UC_ARM_REG_SP, stack)
        self._run(reset & ~1)

    def _command(self, name: str, label: int = 0) -> int:
        self._post(name, label)
        self._run(self._pc() + len(_WAITS))
        return int(self._mailbox()[2])

    def _post(self, command: str, label: int) -> None:
        self._uc.mem_write(self._symbols["eff_mailbox"].address, struct.pack("<Ii", self._commands[command], label))

    def _run(self, start: int, stop: int = _NOWHERE) -> None:
        """Runs from ``start`` until the wait for a command, or until ``stop`` where one is given. Raises EdgeffError on anything else."""
        self._exception = 0
        error = ""
        with limit(self._limit_s, self._uc.emu_stop) as watch:
            try:
                self._uc.emu_start(start | 1, stop)
            except UcError as fault:
                error = str(fault)
        place = self._pc()
        if watch.expired:
            error = f"no end after {self._limit_s:g} s"
        error = error or self._halted_wrongly(place, stop)
        if error:
            where = f"at {place:#010x} in {self._name(place)}"
            raise EdgeffError(f"the firmware failed on the emulated {self.board.name}", got=f"{error}, {where}")

    def _halted_wrongly(self, place: int, stop: int) -> str:
        """Why a halt at ``place`` is not the one that was meant; empty when it is."""
        if self._exception == 0:
            return "" if place == stop else f"{stop:#010x} was never reached"
        if self._exception != _BREAKPOINT:
            return _EXCEPTIONS.get(self._exception, f"exception {self._exception} of the emulator")
        if self._peek(place, 2) != _WAITS:
            return "the firmware's own fault handler"
        return "" if stop == _NOWHERE else f"{stop:#010x} was never reached"

    def _on_exception(self, emulator: Uc, number: int, _data: Any) -> None:
        self._exception = number
        emulator.emu_stop()

    def _mailbox(self) -> tuple[int, ...]:
        return _MAILBOX.unpack(self._peek("eff_mailbox", _MAILBOX.size))

    def _peek(self, place: int | str, size_bytes: int) -> bytes:
        return bytes(self._uc.mem_read(self._symbols[place].address if isinstance(place, str) else place, size_bytes))

    def _paint(self, address: int, count: int) -> None:
        self._uc.mem_write(address, bytes([_PAINT]) * count)

    def _pc(self) -> int:
        return int(self._uc.reg_read(arm_const.UC_ARM_REG_PC))

    def _stack_region(self) -> tuple[int, int]:
        return self._symbols["eff_free_start"].address, self._symbols["eff_stack_top"].address

    def _name(self, address: int) -> str:
        inside = [f.name for f in self.firmware.functions if f.address <= address < f.address + max(f.size_bytes, 2)]
        return inside[-1] if inside else "no function"

    def _require_learning(self) -> None:
        if not self._has_learn:
            raise Unsupported("this firmware was built for inference only", next_step="build it with a rule")
