"""The target ``serial``: a model on a board at the end of a serial line, driven by commands; its memory is not in reach.

Any board that speaks MLPerf Tiny's protocol predicts; firmware of edgeff's template ``serial`` learns, saves and restores as well.
"""

from __future__ import annotations

import contextlib
from typing import ClassVar

import numpy as np

from edgeff.device.serial.board import Inference, InputFormat, SerialBoard, code_of
from edgeff.device.serial.line import BAUD, Log, Refused, open_line
from edgeff.device.targets import register
from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.program.codes import Code

_LINES = ("infer", "learn", "init")
_INPUT, _OUTPUT, _STATE = "eff_input", "eff_output", "eff_state"


@register
class SerialTarget(contextlib.AbstractContextManager["SerialTarget"]):
    """The board on ``port`` (/dev/ttyACM0, COM3, socket://host:port). Used in a ``with`` block, or closed by ``close``.

    Raises BadInput where the port cannot be opened, EdgeffError where the board does not answer.
    """

    name: ClassVar[str] = "serial"
    summary: ClassVar[str] = "a real board over its serial line, by MLPerf Tiny's protocol"
    counters = None

    def __init__(
        self, port: str, baud: int = BAUD, input_format: InputFormat | None = None, log: Log | None = None, patience: float = 1.0
    ) -> None:
        self._line = open_line(port, baud, log, patience)
        try:
            self.board = SerialBoard(self._line, input_format)
        except BaseException:
            self.close()
            raise
        self._last: Inference | None = None

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the line; the board goes on."""
        self._line.close()

    def write_input(self, array: Array) -> None:
        """Writes a sample in the model's own dtype: the input of the next predict and learn."""
        self.board.send_bytes(np.ascontiguousarray(array).tobytes())

    def predict(self) -> int:
        """The best class for the input that was written, or the code with which the model refused it."""
        return self.call("infer")

    def output(self) -> Array:
        """The real outputs of the last prediction, (outputs,) float64. Raises BadInput before the first."""
        if self._last is None:
            raise BadInput("output", got="no prediction yet", next_step="predict first")
        return self._last.outputs

    def learn(self, label: int) -> Code:
        """One learning step on the input that was written: ``OK``, or the code with which the model refused it."""
        return Code(self.call("learn", label))

    def set_rate(self, rate: float) -> Code:
        """Sets the learning rate from now on, relative to the program's own, in millionths: ``OK``, or ``BAD_RATE``."""
        try:
            self.board.rate(rate)
        except Refused as refused:
            code = code_of(refused)
            if code is None:
                raise
            return code
        return Code.OK

    def init(self) -> None:
        """Sets the weights back to those that were exported."""
        self.board.init()

    def save(self) -> bytes:
        """The learned state, in the form that ``eff_restore`` accepts on any target."""
        return self.board.save()

    def restore(self, state: bytes) -> None:
        """Restores the result of ``save``. Raises Refused for a state that the model refuses."""
        self.board.load(state)

    def call(self, line: str, argument: int = 0) -> int:
        """Runs infer, learn or init; returns the class, or the code of the model. Raises BadInput for another line."""
        if line not in _LINES:
            raise BadInput("line", got=repr(line), allowed=", ".join(_LINES))
        try:
            if line == "infer":
                self._last = self.board.infer()
                return self._last.best
            if line == "learn":
                self.board.learn(argument)
            else:
                self.init()
        except Refused as refused:
            code = code_of(refused)
            if code is None:
                raise
            return int(code)
        return 0

    def read(self, place: int | str, size_bytes: int) -> bytes:
        """The first bytes of ``eff_output``, float64, or of ``eff_state``. Raises BadInput for any other place."""
        if place == _OUTPUT:
            return self.output().tobytes()[:size_bytes]
        if place == _STATE:
            return self.save()[:size_bytes]
        raise BadInput("memory of a board on a serial line", got=repr(place), allowed=f"{_OUTPUT}, {_STATE}")

    def write(self, place: int | str, content: bytes) -> None:
        """Writes ``eff_input`` or ``eff_state``. Raises BadInput for any other place."""
        if place == _INPUT:
            self.board.send_bytes(content)
        elif place == _STATE:
            self.restore(content)
        else:
            raise BadInput("memory of a board on a serial line", got=repr(place), allowed=f"{_INPUT}, {_STATE}")
