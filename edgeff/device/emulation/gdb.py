"""The remote serial protocol of GDB (GDB manual, appendix E), the part needed to read, write, start and stop a halted core.

Commands that change something are sent together with the next query: over a socket each answer costs one iteration of the stub's loop. A
stub that disconnects, answers with an error or stays silent ends in a GdbError.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

MEMORY_AT_ONCE = 2000
"""Bytes of memory per packet: QEMU takes packets of 4,096 characters, and memory is sent in hexadecimal."""
PACKETS_AT_ONCE = 32
"""Packets that are sent before their answers are read, so that neither side waits with a full buffer for the other."""
BREAKPOINT = 0
_ANSWER_LIMIT_S, _POLL_S = 60.0, 0.004
_STOPPED = re.compile(rb"[ST]([0-9a-f]{2})")


class GdbError(Exception):
    """The stub did not carry out a command."""


class Silence(GdbError):
    """The core did not stop within the time limit."""


class Gdb:
    """A core controlled by the stub at the other end of ``connection``, initially halted. Registers are the stub's, by number."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()
        self._waiting: list[bytes] = []

    def greet(self) -> None:
        """Waits until the stub answers, and asks for the registers' names: only then does it accept single registers."""
        self._ask(b"qSupported:xmlRegisters=arm,riscv")
        self._ask(b"qXfer:features:read:target.xml:0,1000")

    def read_memory(self, address: int, size_bytes: int) -> bytes:
        """The current content of memory."""
        places = [*range(address, address + size_bytes, MEMORY_AT_ONCE), address + size_bytes]
        answers = self._ask_all([b"m%x,%x" % (first, end - first) for first, end in pairwise(places)])
        content = b"".join(map(_content, answers))
        if len(content) != size_bytes:
            raise GdbError(f"no memory at {address:#010x}")
        return content

    def write_memory(self, address: int, content: bytes) -> None:
        """Writes memory, together with the next query."""
        for first in range(0, len(content), MEMORY_AT_ONCE):
            part = content[first : first + MEMORY_AT_ONCE]
            self._waiting.append(b"M%x,%x:%s" % (address + first, len(part), part.hex().encode()))

    def read_register(self, number: int) -> int:
        """A register of 32 bits."""
        content = _content(self._ask(b"p%x" % number))
        if len(content) != 4:
            raise GdbError(f"no register {number}")
        return int.from_bytes(content, "little")

    def write_register(self, number: int, value: int) -> None:
        """Writes a register of 32 bits, together with the next query."""
        self._waiting.append(b"P%x=%s" % (number, value.to_bytes(4, "little").hex().encode()))

    def insert(self, kind: int, address: int, size_bytes: int) -> None:
        """Sets a breakpoint or watchpoint, together with the next query."""
        self._waiting.append(b"Z%x,%x,%x" % (kind, address, size_bytes))

    def remove(self, kind: int, address: int, size_bytes: int) -> None:
        """Removes a breakpoint or watchpoint, together with the next query."""
        self._waiting.append(b"z%x,%x,%x" % (kind, address, size_bytes))

    def run(self, limit_s: float, until: Callable[[], bool] | None = None) -> None:
        """Lets the core run until it stops, or is stopped because ``until`` says so, which is asked every few milliseconds.

        Raises Silence if it had to be stopped after ``limit_s``; it is then halted.
        """
        waiting, self._waiting = self._waiting, []
        self._check(waiting, self._exchange(waiting[:-PACKETS_AT_ONCE]))
        last = waiting[-PACKETS_AT_ONCE:]
        self._send([*last, b"c"])
        self._check(last, [self._answer(packet) for packet in last])
        end = time.monotonic() + limit_s
        while (left := end - time.monotonic()) > 0 and not (until and until()):
            try:
                self._stopped(self._receive(min(left, _POLL_S) if until else left))
            except TimeoutError:
                continue
            return
        self._connection.sendall(b"\x03")
        self._stopped(self._answer(b"a break"))
        if left <= 0:
            raise Silence(f"no end after {limit_s:g} s")

    def _stopped(self, answer: bytes) -> None:
        if not _STOPPED.match(answer):
            raise GdbError(f"the emulator answered {answer[:40]!r} instead of a stop")

    def _ask(self, packet: bytes) -> bytes:
        return self._ask_all([packet])[0]

    def _ask_all(self, packets: Sequence[bytes]) -> list[bytes]:
        waiting, self._waiting = self._waiting, []
        answers = self._exchange([*waiting, *packets])
        self._check(waiting, answers[: len(waiting)])
        return answers[len(waiting) :]

    def _check(self, packets: Sequence[bytes], answers: Sequence[bytes]) -> None:
        for packet, answer in zip(packets, answers, strict=False):
            if answer != b"OK":
                raise GdbError(f"the emulator answered {answer[:40]!r} to {packet[:40]!r}")

    def _exchange(self, packets: Sequence[bytes]) -> list[bytes]:
        answers: list[bytes] = []
        for first in range(0, len(packets), PACKETS_AT_ONCE):
            part = packets[first : first + PACKETS_AT_ONCE]
            self._send(part)
            answers += [self._answer(packet) for packet in part]
        return answers

    def _answer(self, packet: bytes) -> bytes:
        try:
            return self._receive(_ANSWER_LIMIT_S)
        except TimeoutError:
            raise GdbError(f"the emulator did not answer {packet[:40]!r}") from None

    def _send(self, packets: Sequence[bytes]) -> None:
        """Sends the packets, each after the acknowledgement of the answer before it."""
        try:
            self._connection.sendall(b"".join(b"+$%s#%02x" % (packet, sum(packet) & 0xFF) for packet in packets))
        except OSError as error:
            raise GdbError(f"the emulator has ended: {error.strerror or error}") from None

    def _receive(self, limit_s: float) -> bytes:
        """The next packet. Raises TimeoutError if it does not arrive in time."""
        self._connection.settimeout(limit_s)
        while True:
            start = self._received.find(b"$")
            end = self._received.find(b"#", start)
            if start >= 0 and 0 <= end <= len(self._received) - 3:
                packet = bytes(self._received[start + 1 : end])
                if int(self._received[end + 1 : end + 3], 16) != sum(packet) & 0xFF:
                    raise GdbError("the emulator sent a packet with a wrong checksum")
                del self._received[: end + 3]
                return packet
            try:
                more = self._connection.recv(1 << 16)
            except TimeoutError:
                raise
            except OSError as error:
                raise GdbError(f"the emulator has ended: {error.strerror or error}") from None
            if not more:
                raise GdbError("the emulator has ended")
            self._received += more


def _content(answer: bytes) -> bytes:
    """The bytes of an answer in hexadecimal; none for a refusal."""
    try:
        return bytes.fromhex(answer.decode())
    except ValueError:
        return b""
