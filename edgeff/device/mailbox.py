"""Drives a firmware through its mailbox: from a target that only loads and runs it come predictions, memory, counts and stack figures.

The firmware halts at a wait instruction; a command is written to its mailbox in RAM, and it runs until it waits again. A target
(``edgeff.device.targets``) that can load an ELF, read and write memory and run from one wait to the next is a ``FirmwareTarget``.
Refused: a target that the board does not list, and an ELF that is not a firmware of edgeff.
"""

from __future__ import annotations

import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from edgeff.device.boards import load_boards
from edgeff.device.cores import Core, core_of
from edgeff.device.emulation.counting import Counted
from edgeff.device.firmware import ARENA_SYMBOL, Firmware
from edgeff.device.profile import Profile, profile_edges
from edgeff.device.targets import Counters, Target
from edgeff.device.toolchains.elf import Symbol
from edgeff.device.tracing import CallTrace
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.ir import Array, Board, Call
from edgeff.program.codes import Code
from edgeff.program.state import require_taken
from edgeff.registry import cores, targets

COMMANDS = {"infer": 1, "learn": 2, "init": 3, "save": 4, "restore": 5, "set_rate": 6}
"""The commands of the mailbox; a further line is FIRST_LINE plus its index in the order of names."""
FILLED = 0x100
"""Added to a command before which the input was written: the firmware then calls eff_input."""
FIRST_LINE = 16
PAINT = 0xA5
"""The content of the free RAM and the stack before the start."""

_BODY = re.compile(r"eff_(\w+)_calls")
_DTYPES = {1: np.int8, 2: np.int16, 4: np.int32, 256 + 4: np.float32}
_NEEDED = (ARENA_SYMBOL, "eff_mailbox", "eff_facts", "eff_free_start", "eff_stack_top", "eff_infer_calls")
_MAILBOX = struct.Struct("<IiiIII")
_FACTS = struct.Struct("<8I")


class FirmwareTarget(ABC):
    """A board with its firmware loaded, started and waiting for commands.

    ``time_limit_s`` is the wall time after which one command is given up. Raises Unsupported for a target or a core that cannot be combined
    with the board, and EdgeffError if the firmware does not reach its wait for commands.
    """

    name: ClassVar[str]
    summary: ClassVar[str]

    def __init__(self, firmware: Firmware, board: Board | None = None, time_limit_s: float = 60.0) -> None:
        self.firmware, self.board = firmware, board or firmware.board
        self.core: Core = core_of(self.board)
        self.time_limit_s = time_limit_s
        self.symbols = firmware.image.symbols
        choose_target(self.board, self.name)
        if missing := [name for name in _NEEDED if name not in self.symbols]:
            raise BadInput(
                f"ELF {firmware.elf}",
                got=f"no symbol {', '.join(missing)}",
                allowed="a firmware of edgeff, its lists of calls not inlined",
            )
        bodies = sorted(match[1] for match in map(_BODY.fullmatch, self.symbols) if match)
        self._commands = COMMANDS | {
            line: FIRST_LINE + number for number, line in enumerate(name for name in bodies if name not in COMMANDS)
        }
        self._filled = False
        self._start()
        _, _, _, self._input, self._output, self._saved = self._mailbox()
        facts = _FACTS.unpack(self.read("eff_facts", _FACTS.size))
        self.inputs, self.outputs, self.classes, self._has_learn, _, self._save_bytes, *kinds = facts
        if unknown := [kind for kind in kinds if kind not in _DTYPES] or (self._has_learn and body_of("learn") not in self.symbols):
            raise BadInput(f"ELF {firmware.elf}", got=f"eff_facts {facts} ({unknown})", allowed="a firmware of edgeff")
        self.input_dtype, self.output_dtype = (np.dtype(_DTYPES[kind]) for kind in kinds)

    # ---------------------------------------------------------------- defined by a target

    @abstractmethod
    def _start(self) -> None:
        """Loads the segments of the ELF, paints the RAM from ``eff_free_start`` to ``eff_stack_top`` and runs to the first wait."""

    @abstractmethod
    def _resume(self) -> None:
        """Runs from one wait to the next. Raises EdgeffError on a fault or past the time limit."""

    @abstractmethod
    def _peek(self, address: int, size_bytes: int) -> bytes:
        """The current content of memory."""

    @abstractmethod
    def _poke(self, address: int, content: bytes) -> None:
        """Writes memory."""

    @abstractmethod
    def _resume_counting(self, body: Symbol) -> Counted:
        """As ``_resume``, and counts one run of the function ``body`` and everything it calls."""

    @abstractmethod
    def watch(self, body: Symbol, look: Callable[[], None]) -> None:
        """From now on ``look`` is called each time a call that the function ``body`` makes has returned."""

    # ---------------------------------------------------------------- the protocol of targets

    def call(self, line: str, argument: int = 0) -> int:
        """Runs a line of the program, init, save or restore on the data written; returns the result of its C function."""
        self._post(line, argument)
        self._resume()
        return self._mailbox()[2]

    def read(self, place: int | str, size_bytes: int) -> bytes:
        """``size_bytes`` of memory, starting at an address or a symbol.

        Raises BadInput for an unknown symbol and outside the board's memory.
        """
        return self._peek(self._address(place, size_bytes), size_bytes)

    def write(self, place: int | str, content: bytes) -> None:
        """Writes ``content``, starting at an address or a symbol. Raises BadInput as ``read`` does."""
        address = self._address(place, len(content))
        self._poke(address, content)
        self._filled |= -len(content) < address - self._input < self.inputs * self.input_dtype.itemsize

    @property
    def counters(self) -> Counters | None:
        """The counter of calls."""
        return self

    def count(self, line: str, argument: int = 0) -> Counted:
        """As ``call`` of a line of the program, and counts its kernel calls."""
        self._post(line, argument)
        return self._resume_counting(self.symbols[body_of(line)])

    # ---------------------------------------------------------------- operations of a model

    def write_input(self, array: Array) -> None:
        """Writes the input of the next predict or learn: as many elements as the model has inputs, in its own dtype. BadInput otherwise."""
        if array.dtype != self.input_dtype or array.size != self.inputs:
            raise BadInput("input", got=f"{array.size} elements of {array.dtype}", allowed=f"{self.inputs} elements of {self.input_dtype}")
        self._poke(self._input, np.ascontiguousarray(array).tobytes())
        self._filled = True

    def predict(self) -> int:
        """The best class for the input that was written; the scores are then in ``output``.

        ``Code.NOT_FINITE`` if it contains NaN or infinity: then the scores are not valid.
        """
        return self.call("infer")

    def line(self, name: str, label: int = 0) -> int:
        """Runs a line on the current values of its arguments in the arena, and returns its function's ``Code``.

        Raises BadInput for a line that the firmware does not have.
        """
        if name not in self._commands or body_of(name) not in self.symbols:
            raise BadInput("line", got=repr(name), allowed=", ".join(line for line in self._commands if body_of(line) in self.symbols))
        return self.call(name, label)

    def trace(self, places: Sequence[Sequence[tuple[int, int]]]) -> CallTrace:
        """A reader of the arena between the calls of inference: ``trace.run(target.predict)``.

        ``places`` gives for each call in turn the places that it reads once the call has returned: (offset, bytes).
        """
        arena = self.symbols[ARENA_SYMBOL].address
        absolute = [[(arena + offset, size_bytes) for offset, size_bytes in call] for call in places]
        return CallTrace(self, self.symbols[body_of("infer")], absolute)

    def learn(self, label: int | Array) -> Code:
        """One training step on the input that was written: ``OK``, or the code with which the model refused it without a change.

        ``label`` is a class, or where the model learns values its target, in the dtype of the output. Raises Unsupported if the firmware
        was built without training, EdgeffError where the RAM left over has no room for a target.
        """
        self._require_learning()
        if not isinstance(label, np.ndarray):
            return Code(self.call("learn", label))
        if label.dtype != self.output_dtype or label.size != self.outputs:
            got, allowed = f"{label.dtype} of {label.size}", f"{self.output_dtype} of {self.outputs}"
            raise BadInput("values to learn", got=got, allowed=allowed)
        content = np.ascontiguousarray(label).tobytes()
        self._require_room(len(content), "the values to learn")
        self._poke(self._saved, content)
        code = Code(self.call("learn"))
        self._paint(self._saved, len(content))
        return code

    def set_rate(self, rate: float) -> Code:
        """Sets the learning rate from now on, relative to the program's own, 0 to 1. Returns ``OK``, or ``BAD_RATE``: it is unchanged.

        Raises Unsupported if the firmware was built without training.
        """
        self._require_learning()
        with np.errstate(over="ignore"):
            return Code(self.call("set_rate", int(np.float32(rate).view(np.int32))))

    def init(self) -> None:
        """Sets the weights back to those in flash and the state to zero."""
        self.call("init")

    def output(self) -> Array:
        """The scores after ``predict``, of shape (outputs,) and in the model's dtype."""
        return np.frombuffer(self.read(self._output, self.outputs * self.output_dtype.itemsize), self.output_dtype).copy()

    def save(self) -> bytes:
        """The learned state, as ``eff_save`` writes it. Raises EdgeffError if the remaining RAM cannot hold it."""
        self._require_learning()
        self._require_room(self._save_bytes)
        count = self.call("save")
        state = self.read(self._saved, count)
        self._paint(self._saved, count)
        return state

    def restore(self, state: bytes) -> None:
        """Restores the result of ``save``. Raises BadInput if it has another length, or if the model refuses it, and says why.

        Raises EdgeffError when the RAM left over cannot hold it.
        """
        self._require_learning()
        if len(state) != self._save_bytes:
            raise BadInput("saved state", got=f"{len(state)} bytes", allowed=f"{self._save_bytes} bytes")
        self._require_room(self._save_bytes)
        self._poke(self._saved, state)
        result = self.call("restore")
        self._paint(self._saved, len(state))
        require_taken(result)

    def write_arena(self, offset: int, values: Array) -> None:
        """Writes an array to the arena, ``offset`` bytes from its start. Raises BadInput if it does not lie inside."""
        raw = np.ascontiguousarray(values).tobytes()
        if not 0 <= offset <= self.firmware.arena_bytes - len(raw):
            raise BadInput(f"{len(raw)} bytes of the arena", got=f"offset {offset}", allowed=f"inside {self.firmware.arena_bytes} bytes")
        self.write(self.symbols[ARENA_SYMBOL].address + offset, raw)

    def read_arena(self) -> bytes:
        """The whole arena: variables, state and scratch."""
        return self.read(ARENA_SYMBOL, self.firmware.arena_bytes)

    @property
    def stack_bytes(self) -> int:
        """The most stack used since the reset, in bytes: the part that no longer has the pattern painted by the host before the start.

        Includes the start-up code, ``main`` and every command so far: run predict and learn before reading it. Raises EdgeffError if the
        stack has reached the arena.
        """
        floor, top = self.free_region
        memory = np.frombuffer(self._peek(floor, top - floor), np.uint8)
        touched = np.flatnonzero(memory != PAINT)
        if touched.size and touched[0] == 0:
            raise EdgeffError("the stack has run into the arena", got=f"all of {top - floor} bytes used", next_step="choose a larger board")
        return int(memory.size - touched[0]) if touched.size else 0

    def profile(self, line: str, program_calls: Sequence[Call], label: int = 0) -> Profile:
        """Runs a line once on the data written and counts it.

        One run of the body of kernel calls is counted, with everything it calls, but not the entry and the result around it. A ``learn``
        learns. Raises CheckFailed if the firmware makes another number of calls than ``program_calls`` has.
        """
        if line == "learn":
            self._require_learning()
        if self.counters is None:
            raise Unsupported(f"counting on target {self.name}", got="a target that does not count")
        counted = self.counters.count(line, label)
        return profile_edges(line, counted, program_calls, self.firmware.functions, self._peek, self.board, self.core)

    # ---------------------------------------------------------------- for the targets

    @property
    def emulator_options(self) -> tuple[str, ...]:
        """The emulator's options for the core of the board. Raises Unsupported if the target cannot emulate that core."""
        if self.name not in self.core.emulators:
            allowed = ", ".join(name for name, core in cores.items() if self.name in core.emulators)
            raise Unsupported(f"core of board {self.board.name} on target {self.name}", got=repr(self.core.name), allowed=allowed)
        return self.core.emulators[self.name]

    @property
    def wait_bytes(self) -> int:
        """The size of the instruction at which the firmware waits."""
        return len(self.core.isa.wait[1])

    @property
    def free_region(self) -> tuple[int, int]:
        """The first address of the remaining RAM, stack included, and the first one past it."""
        return self.symbols["eff_free_start"].address, self.symbols["eff_stack_top"].address

    def function_at(self, address: int) -> str:
        """The name of the function that contains an address."""
        inside = [f.name for f in self.firmware.functions if f.address <= address < f.address + max(f.size_bytes, 2)]
        return inside[-1] if inside else "no function"

    def failure(self, why: str, place: int | None = None) -> EdgeffError:
        """The error to raise if the firmware did not end as it should, at ``place``."""
        where = "" if place is None else f", at {place:#010x} in {self.function_at(place)}"
        return EdgeffError(f"the firmware failed on the emulated {self.board.name}", got=f"{why}{where}")

    def _post(self, line: str, argument: int) -> None:
        self._poke(
            self.symbols["eff_mailbox"].address, struct.pack("<Ii", self._commands[line] | (FILLED if self._filled else 0), argument)
        )
        self._filled = False

    def _mailbox(self) -> tuple[int, ...]:
        return _MAILBOX.unpack(self.read("eff_mailbox", _MAILBOX.size))

    def _address(self, place: int | str, size_bytes: int) -> int:
        if isinstance(place, str) and place not in self.symbols:
            raise BadInput("unknown symbol", got=repr(place))
        address = place if isinstance(place, int) else self.symbols[place].address
        if not any(r.origin <= address and address + size_bytes <= r.origin + r.length_bytes for r in self.board.regions):
            raise BadInput("address of memory", got=f"{address:#010x}, {size_bytes} bytes", allowed="the memory of the board")
        return address

    def _paint(self, address: int, count: int) -> None:
        self._poke(address, bytes([PAINT]) * count)

    def _require_learning(self) -> None:
        if not self._has_learn:
            raise Unsupported("this firmware was built for inference only", next_step="build it with a rule")

    def _require_room(self, size_bytes: int, what: str = "the saved state") -> None:
        """Raises EdgeffError unless so many bytes fit between the arena and what the stack may take."""
        left = max(self.symbols["eff_free_end"].address - self._saved, 0)
        if left < size_bytes:
            raise EdgeffError(f"the remaining RAM cannot hold {what}", got=f"{left} bytes", allowed=f"{size_bytes}")


def body_of(line: str) -> str:
    """The function that makes the kernel calls of a line, one after the other."""
    return f"eff_{line}_calls"


def choose_target(board: Board, name: str | None = None) -> type[FirmwareTarget]:
    """The target of that name, by default the first one that the board lists.

    Raises Unsupported for a target that the board does not list or that runs no firmware.

    >>> from edgeff.device.boards import load_board
    >>> choose_target(load_board("rpi_pico")).name
    'unicorn'
    """
    chosen = name or board.targets[0]
    if chosen not in board.targets:
        raise Unsupported(f"target of board {board.name}", got=repr(chosen), allowed=", ".join(board.targets))
    target: type[Target] = targets[chosen]
    if not issubclass(target, FirmwareTarget):
        allowed = ", ".join(key for key, item in targets.items() if issubclass(item, FirmwareTarget))
        emulated = [other.name for other in load_boards().values() if other.core == board.core and "serial" not in other.targets]
        step = f"drive it by `edgeff run --port P`, or emulate its core: --board {emulated[0]}" if chosen == "serial" and emulated else ""
        raise Unsupported(f"target {chosen} of board {board.name}", got="a target that runs no firmware", allowed=allowed, next_step=step)
    return target


def load_target(firmware: Firmware, board: Board | None = None, name: str | None = None, time_limit_s: float = 60.0) -> FirmwareTarget:
    """``firmware`` on the target of that name, by default the first one that the board lists. Raises what ``choose_target`` raises."""
    board = board or firmware.board
    return choose_target(board, name)(firmware, board, time_limit_s)
