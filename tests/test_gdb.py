"""The debugger's protocol against a stub that is played by a thread: what is sent, what is read, and what a bad stub ends in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from edgeff.device.emulation.gdb import BREAKPOINT, MEMORY_AT_ONCE, Gdb, GdbError, Silence

Answer = Callable[[bytes], bytes | None]


def framed(packet: bytes) -> bytes:
    return b"+$%s#%02x" % (packet, sum(packet) & 0xFF)


@contextmanager
def stub(answer: Answer) -> Iterator[tuple[Gdb, list[bytes]]]:
    """A Gdb and the packets that its stub got; ``answer`` gives what is sent back to each (None: nothing, and raw bytes as they are)."""
    ours, theirs = socket.socketpair()
    packets: list[bytes] = []

    def serve() -> None:
        received = b""
        while more := theirs.recv(4096):
            received += more
            if received.endswith(b"\x03"):
                received = b""
                theirs.sendall(framed(b"T02thread:01;"))
            while b"#" in received[:-2]:
                start, end = received.index(b"$") + 1, received.index(b"#")
                packet, received = received[start:end], received[end + 3 :]
                packets.append(packet)
                reply = answer(packet)
                if reply is not None:
                    theirs.sendall(reply)
        theirs.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield Gdb(ours), packets
    finally:
        ours.close()
        thread.join(10)


def memory(packet: bytes) -> bytes:
    """A core whose byte at address k is k % 251, whose registers hold their number, and which stops at once."""
    if packet[:1] == b"m":
        address, size = (int(part, 16) for part in packet[1:].split(b","))
        return framed(bytes((address + k) % 251 for k in range(size)).hex().encode())
    if packet[:1] == b"p":
        return framed(int(packet[1:], 16).to_bytes(4, "little").hex().encode())
    return framed(b"T05thread:01;" if packet == b"c" else b"OK")


def test_changes_travel_with_the_next_question_and_memory_in_parts() -> None:
    with stub(memory) as (gdb, packets):
        gdb.write_memory(0x20000000, b"\x01\x02")
        gdb.write_register(15, 0x90)
        gdb.insert(BREAKPOINT, 0x8E, 2)
        assert packets == []
        gdb.run(10)
        assert packets == [b"M20000000,2:0102", b"Pf=90000000", b"Z0,8e,2", b"c"]
        assert gdb.read_register(14) == 14
        size = 2 * MEMORY_AT_ONCE + 3
        assert gdb.read_memory(7, size) == bytes((7 + k) % 251 for k in range(size))
        assert gdb.read_memory(7, 0) == b""
        gdb.write_memory(0, bytes(40 * MEMORY_AT_ONCE))
        gdb.run(10)
        assert sum(packet[:1] == b"M" for packet in packets) == 1 + 40


def test_a_core_that_does_not_stop_is_stopped() -> None:
    with stub(lambda packet: None if packet == b"c" else memory(packet)) as (gdb, _):
        with pytest.raises(Silence, match=r"no end after 0\.1 s"):
            gdb.run(0.1)
        assert gdb.read_register(3) == 3


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (framed(b"E14"), "no memory at 0x00000010"),
        (framed(b""), "no memory at 0x00000010"),
        (framed(b"0102"), "no memory at 0x00000010"),
        (b"+$01020304#00", "wrong checksum"),
    ],
)
def test_a_bad_answer_is_refused(answer: bytes, message: str) -> None:
    with stub(lambda _packet: answer) as (gdb, _), pytest.raises(GdbError, match=message):
        gdb.read_memory(0x10, 4)


def test_a_register_that_the_stub_does_not_have_is_refused() -> None:
    with stub(lambda _packet: framed(b"E14")) as (gdb, _), pytest.raises(GdbError, match="no register 99"):
        gdb.read_register(99)


def test_a_change_that_fails_is_told_with_the_next_question() -> None:
    with stub(lambda packet: framed(b"E22") if packet[:1] == b"Z" else memory(packet)) as (gdb, _):
        gdb.insert(BREAKPOINT, 0x8E, 2)
        with pytest.raises(GdbError, match=r"E22.*Z0,8e,2"):
            gdb.read_register(0)


def test_a_stub_that_breaks_off_is_told() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(GdbError, match="the emulator has ended"):
        Gdb(ours).read_register(0)
    ours.close()
