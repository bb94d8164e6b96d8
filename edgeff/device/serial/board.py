"""A model on a board at the end of a line: samples go out, classes, times and learned states come in.

Ours or another's: ``state``, ``learn``, ``rate``, ``save``, ``load`` and ``init`` are edgeff's, all else is MLPerf Tiny's protocol.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeff.device.serial.line import Line, Refused
from edgeff.errors import BadInput, EdgeffError, Unsupported, short
from edgeff.ir import Array
from edgeff.program.codes import Code

BYTES_AT_ONCE = 31
"""Bytes of a ``db`` command, as in MLPerf Tiny's runner: the board's buffer takes 80 characters."""
INFER_LIMIT_S = 30.0
_WRAP_US = 1 << 32
_RESULTS = re.compile(r"m-results-\[([^]]+)\]")
_LAP = re.compile(r"m-lap-us-([0-9]{1,20})")
_STATE = re.compile(r"m-state-((?:[0-9a-f]{2})+)")
_ABOUT = re.compile(r"m-state-\[([^]]*)\]")
_WHOLE = re.compile(r"[0-9]{1,18}")
_CODE = re.compile(r"code (-?[0-9]{1,9})\b")
_TYPES = ("int8", "uint8", "int16", "float32")
_LIMITS = {"int8": (-128, 127), "uint8": (-128, 127), "int16": (-32767, 32767)}


@dataclass(frozen=True, slots=True)
class InputFormat:
    """How a sample goes to a board: its dtype (``uint8``: the board subtracts 128), and for integers their scale and zero point.

    >>> InputFormat("int8", 0.5, 3).encode(np.array([0.0, 1.0, -2.5]))
    b'\\x03\\x05\\xfe'
    """

    dtype: str
    scale: float = 0.0
    zero: int = 0

    def encode(self, sample: Array) -> bytes:
        """The bytes of a sample, float32 of any shape: rounded to the nearest, ties to even, and saturated, as edgeff quantises inputs.

        Raises BadInput for NaN and infinity.
        """
        flat = np.asarray(sample).reshape(-1)
        if flat.dtype.kind == "f" and not np.isfinite(flat).all():
            raise BadInput("sample", got="NaN or infinity", allowed="finite numbers")
        if self.dtype == "float32":
            return flat.astype("<f4").tobytes()
        codes = np.clip(np.rint(flat.astype(np.float64) / (self.scale or 1.0)) + self.zero, *_LIMITS[self.dtype])
        if self.dtype == "uint8":
            return (codes + 128).astype(np.uint8).tobytes()
        return codes.astype("<i2" if self.dtype == "int16" else np.int8).tobytes()


@dataclass(frozen=True, slots=True)
class Timed:
    """Runs that the board timed itself: their number, and its microseconds for all of them."""

    runs: int
    elapsed_us: int


@dataclass(frozen=True, slots=True)
class Inference(Timed):
    """Inferences on one sample, and the real outputs of the last, (outputs,) float64."""

    outputs: NDArray[np.float64]

    @property
    def best(self) -> int:
        """The class with the largest output, the first of equals."""
        return int(self.outputs.argmax())


class SerialBoard:
    """A board that answers. ``input_format`` None: as it says itself, which only edgeff's own firmware does.

    Raises EdgeffError where it does not answer, BadInput where nothing says how samples go to it.
    """

    def __init__(self, line: Line, input_format: InputFormat | None = None) -> None:
        self.line = line
        self.name = self._said("name", r"m-name-dut-\[([^]]+)\]")
        self.model = self._said("profile", r"m-model-\[([^]]+)\]")
        self.about = self._about()
        self.input_format = input_format or self._own_format()

    def state(self) -> dict[str, str]:
        """What the board says of its model and its learning, as ``docs/boards.md`` has it. Raises Unsupported for firmware of others."""
        if not self.about:
            raise Unsupported(f"state of the board on {self.line.name}", got="firmware that does not know the command", allowed="edgeff's")
        self.about = self._about()
        return self.about

    def counted(self, key: str) -> int:
        """A whole number of the board's state. Raises EdgeffError where it is none."""
        text = self.state().get(key, "")
        if not _WHOLE.fullmatch(text):
            raise self._nonsense("state", [f"{key}={text}"], "a whole number")
        return int(text)

    def send(self, sample: Array) -> None:
        """Writes a sample to the board's input. Raises Refused for one of another size."""
        self.send_bytes(self.input_format.encode(sample))

    def send_bytes(self, content: bytes) -> None:
        """Writes the bytes of a sample as they go over the line."""
        self.line.ask(f"db load {len(content)}")
        done: list[str] = []
        for first in range(0, len(content), BYTES_AT_ONCE):
            done = self.line.ask(f"db {content[first : first + BYTES_AT_ONCE].hex()}")
        if "m-load-done" not in done:
            raise self._nonsense("db", done, "m-load-done")

    def infer(self, runs: int = 1, warmup: int = 0, limit_s: float = INFER_LIMIT_S) -> Inference:
        """``runs`` inferences on the sample sent, after ``warmup`` that are not timed."""
        reply = self.line.ask(f"infer {runs} {warmup}", limit_s)
        return Inference(runs, self._elapsed("infer", reply), self._outputs(reply))

    def learn(self, label: int, runs: int = 1, limit_s: float = INFER_LIMIT_S) -> Timed:
        """``runs`` learning steps on the sample sent. Raises Refused with the model's code where it does not learn from it."""
        reply = self.line.ask(f"learn {label} {runs}", limit_s)
        return Timed(runs, self._elapsed("learn", reply))

    def rate(self, value: float) -> None:
        """Sets the learning rate from now on, relative to the program's own; it goes over the line in millionths.

        Raises Refused with the model's code for one outside of 0 to 1, and for a model that learns without a rate.
        """
        if not np.isfinite(value) or value < 0:
            raise BadInput("learning rate", got=repr(value), allowed="0 to 1, relative to the program's own")
        self.line.ask(f"rate {value:.6f}")

    def save(self) -> bytes:
        """What the board has learned, as ``eff_save`` writes it."""
        reply = self.line.ask("save")
        content = bytes.fromhex("".join(match[1] for match in map(_STATE.fullmatch, reply) if match))
        announced = self._match("save", reply, re.compile(r"m-save-start-([0-9]{1,9})"))
        if int(announced) != len(content):
            raise EdgeffError(f"board on {self.line.name}", got=f"{len(content)} bytes of a state", allowed=announced)
        return content

    def load(self, state: bytes) -> None:
        """Restores the result of ``save``. Raises Refused where the model does not take it: then it is as before."""
        self.line.ask(f"load {len(state)}")
        for first in range(0, len(state), BYTES_AT_ONCE):
            self.line.ask(f"load {state[first : first + BYTES_AT_ONCE].hex()}")

    def init(self) -> None:
        """Sets the weights back to those that were exported."""
        self.line.ask("init")

    def _about(self) -> dict[str, str]:
        try:
            reply = self.line.ask("state")
        except Refused:
            return {}
        pairs = self._match("state", reply, _ABOUT).split(",")
        return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}

    def _own_format(self) -> InputFormat:
        dtype = self.about.get("input", "")
        if dtype not in _TYPES:
            raise BadInput(
                f"input of the board on {self.line.name}",
                got=repr(dtype) if dtype else "firmware that does not say what it is",
                allowed="firmware of edgeff, or its format",
                next_step="name it: --input float32, or --input int8,SCALE,ZERO",
            )
        return input_format(",".join(filter(None, (dtype, self.about.get("scale"), self.about.get("zero")))))

    def _said(self, command: str, pattern: str) -> str:
        return self._match(command, self.line.ask(command), re.compile(pattern))

    def _match(self, command: str, reply: list[str], pattern: re.Pattern[str]) -> str:
        for line in reply:
            if match := pattern.fullmatch(line):
                return match[1]
        raise self._nonsense(command, reply, re.sub(r"\([^)]*\)", "..", pattern.pattern.replace("\\", "")))

    def _outputs(self, reply: list[str]) -> NDArray[np.float64]:
        text = self._match("infer", reply, _RESULTS)
        try:
            values = np.array([float(value) for value in text.split(",") if value.strip()], np.float64)
        except ValueError:
            values = np.empty(0)
        if not values.size:
            raise self._nonsense("infer", [f"m-results-[{text}]"], "numbers")
        return values

    def _elapsed(self, command: str, reply: list[str]) -> int:
        laps = [int(match[1]) for match in map(_LAP.fullmatch, reply) if match]
        if not laps:
            step = "build its performance mode: EFF_PROTOCOL_ENERGY 0"
            raise Unsupported(f"board on {self.line.name}", got="no times, as in energy mode, where a meter takes them", next_step=step)
        if len(laps) != 2:
            raise self._nonsense(command, reply, "two lines m-lap-us-N")
        return (laps[1] - laps[0]) % _WRAP_US if laps[1] < laps[0] else laps[1] - laps[0]

    def _nonsense(self, command: str, reply: list[str], wanted: str) -> EdgeffError:
        got = short(reply[-1]) if reply else "an empty reply"
        return EdgeffError(f"board on {self.line.name}, command {short(command)}", got=got, allowed=wanted, next_step="is the line noisy?")


def input_format(text: str) -> InputFormat:
    """The format that ``text`` names: float32, or an integer type with its scale and its zero point.

    Raises BadInput for anything else.

    >>> input_format("int8,0.5f,(83)")
    InputFormat(dtype='int8', scale=0.5, zero=83)
    """
    dtype, *numbers = text.split(",")
    scale, zero = 0.0, 0
    with contextlib.suppress(ValueError):
        if len(numbers) == 2:
            scale, zero = float(np.float32(numbers[0].rstrip("f"))), int(numbers[1].strip("()"))
    if dtype not in _TYPES or (numbers if dtype == "float32" else not 0 < scale < np.inf):
        allowed = "float32, or int8, uint8 or int16 with a scale and a zero point, such as int8,0.5847,83"
        raise BadInput("format of the input", got=repr(text), allowed=allowed)
    return InputFormat(dtype, scale, zero)


def code_of(refused: Refused) -> Code | None:
    """The model's code in a board's refusal; None if there is none."""
    match = _CODE.search(refused.got)
    return Code(int(match[1])) if match and int(match[1]) in set(Code) else None
