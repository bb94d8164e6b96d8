"""MLPerf Tiny's serial protocol: every line answered, the bits of the twin over the wire, and each thing that goes wrong in one line."""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from operator import methodcaller
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from command_line import CommandLine
from rich.console import Console
from serial_lines import answers, board_program, random_commands
from small_networks import deployed, samples, small
from test_qemu import needs

from edgeff.bench.metrics import real_outputs
from edgeff.bench.runner import RunLog, anomalies, learning, stream
from edgeff.bench.watch import Watch
from edgeff.cli.live import figures, page
from edgeff.device.boards import load_board
from edgeff.device.serial.board import SerialBoard, input_format
from edgeff.device.serial.line import Line, Refused, open_line
from edgeff.device.simulate import input_bytes
from edgeff.device.targets.serial import SerialTarget
from edgeff.errors import BadInput, EdgeffError, Unsupported
from edgeff.program.codes import Code, watched
from edgeff.program.interpreter import Interpreter

DEPLOYMENT = deployed("pepita", "int8")
INPUTS = 12
LOADED = "000102030405060708090a0b"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The device side on this computer, with sanitizers."""
    return board_program(DEPLOYMENT.program, tmp_path_factory.mktemp("board"))


@contextlib.contextmanager
def on_terminal(board: Path) -> Iterator[str]:
    """A pseudo-terminal behind which the board program runs."""
    ours, theirs = os.openpty()
    subprocess.run(["stty", "-F", os.ttyname(theirs), "raw", "-echo"], check=True)
    process = subprocess.Popen([board], stdin=ours, stdout=ours)
    try:
        yield os.ttyname(theirs)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_every_command_is_answered_as_mlperf_tiny_says(board: Path) -> None:
    expected = {
        "name": [r"m-name-dut-\[[^]]+]"],
        "profile": [r"m-profile-\[ULPMark for tinyML Firmware V0\.0\.1]", r"m-model-\[kws01]"],
        "timestamp": [r"m-lap-us-[0-9]+"],
        "results": [r"e-\[No results: infer first]"],
        "infer 1 0": [r"e-\[Input incomplete: 0 of 12 bytes]"],
        "db 00": [r"e-\[Command 'db' requires 'db load' before bytes]"],
        "db": [r"e-\[Command 'db' requires a subcommand]"],
        "db load": [r"e-\[Command 'db load' requires the # of bytes]"],
        "db load 0": [r"e-\[Command 'db load' must be >0 bytes]"],
        "db load 13": [r"e-\[Command 'db load' must be <=12 bytes]"],
        "db load 12": [r"m-\[Expecting 12 bytes]"],
        "db 000": [r"e-\[Insufficent number of hex digits]"],
        "db 00zz": [r"e-\[Invalid hex digit 'zz']"],
        "db 00 ": [],
        f"db {LOADED}": [r"e-\[More bytes than the 12 that were announced]"],
        f"db {LOADED[2:]}": ["m-load-done"],
        "db print": ["m-buffer-00-01-02-03-04-05-06-07", "m-buffer-08-09-0a-0b"],
        "infer 0": [r"e-\[Inference iterations must be >0]"],
        "infer 1 -1": [r"e-\[Inference warmup must be >=0]"],
        "infer 201": [r"e-\[Inference iterations and warmup must be <=200]"],
        "infer 2 1": [
            *("m-warmup-start-1", "m-warmup-done", "m-infer-start-2", r"m-lap-us-[0-9]+", r"m-lap-us-[0-9]+", "m-infer-done"),
            r"m-results-\[[0-9.]+(,[0-9.]+){3}]",
        ],
        "learn": [r"e-\[Command 'learn' requires the number of a class]"],
        "learn 9": ["m-learn-start-1", r"m-lap-us-[0-9]+", r"m-lap-us-[0-9]+", r"e-\[Learning refused: code -1]"],
        "learn 1 2": ["m-learn-start-2", r"m-lap-us-[0-9]+", r"m-lap-us-[0-9]+", "m-learn-done"],
        "rate": [r"e-\[Command 'rate' requires a number with at most six decimals]"],
        "rate 0.1234567": [r"e-\[Command 'rate' requires a number with at most six decimals]"],
        "rate 2147.483648": [r"e-\[Command 'rate' requires a number with at most six decimals]"],
        "rate 1.000001": [r"e-\[Rate refused: code -3]"],
        "rate 0.25": ["m-rate-done"],
        "load 3": [r"e-\[Command 'load' must be 160 bytes]"],
        "state": [r"m-state-\[input=int8,inputs=12,.*,steps=2,refused=1,saved=160,parameters=128,saturated=[0-9]+,arena=[0-9]+]"],
        "": [r"e-\[Unknown command: ]"],
        "foo\x1b[2J bar": [r"e-\[Unknown command: foo\.\.2J]"],
        "x" * 79: [rf"e-\[Unknown command: {'x' * 79}]"],
        "x" * 80: [r"e-\[Command longer than 79 characters]"],
    }
    started, *replies = answers(board, [command.encode() for command in expected])
    assert started[0] == "m-timestamp-mode-performance"
    assert started[2:] == ["m-init-done"]
    for (command, patterns), reply in zip(expected.items(), replies, strict=True):
        assert len(reply) == len(patterns), (command, reply)
        assert all(re.fullmatch(pattern, line) for pattern, line in zip(patterns, reply, strict=True)), (command, reply)


def test_in_energy_mode_a_pulse_marks_each_time_and_none_is_told(tmp_path: Path) -> None:
    board = board_program(DEPLOYMENT.program, tmp_path, sanitised=False, energy=True)
    commands = f"db load 12%db {LOADED}%infer 2 1%learn 1%timestamp%"
    done = subprocess.run([board], input=commands, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("m-timestamp-mode-energy\nm-init-done\nm-ready\n")
    assert "m-lap" not in done.stdout
    assert done.stderr == "|" * (1 + 2 + 2 + 1)
    answered = {b"name": NAME, b"profile": b"m-model-[x]\r\nm-ready\r\n", b"state": b"e-[Unknown command: state]\r\nm-ready\r\n"}
    untimed = b"m-infer-start-1\r\nm-infer-done\r\nm-results-[1.0]\r\nm-ready\r\n"
    with (
        peer(lambda command: [answered.get(command, untimed)]) as port,
        pytest.raises(Unsupported, match="got no times, as in energy mode"),
    ):
        SerialBoard(open_line(port, patience=0.2), input_format("float32")).infer()


def test_an_autoencoder_answers_with_its_error_as_mlperf_tiny_asks_of_ad01(tmp_path: Path) -> None:
    """float32 goes in, one mean squared error comes out; the area under the curve is over recordings."""
    autoencoder = deployed(None, "int8", small("12-4-12", softmax=False))
    board, x = board_program(autoencoder.program, tmp_path, model="ad01"), samples(6) * 1.5
    twin, expected = Interpreter(autoencoder.program), []
    for sample, inputs in zip(x, autoencoder.inputs(x), strict=True):
        twin.predict(inputs)
        expected.append(((real_outputs(autoencoder.program, twin.output()[None])[0] - sample) ** 2).mean())
    with on_terminal(board) as port, SerialTarget(port) as target:
        for sample, error in zip(x, expected, strict=True):
            target.board.send(sample)
            assert target.board.infer().outputs == pytest.approx([error], rel=1e-5, abs=1e-6)  # six decimals, sums in float32
        files, labels = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 0])
        score = [sum(expected[first : first + 2]) for first in (0, 2, 4)]
        log = RunLog()
        assert anomalies(target.board, x, labels, log, files=files) == np.mean([score[1] > score[0], score[1] > score[2]])
        assert "ulp-mlperf: AUC: " in log.lines[-1]
        target.write_input(np.full(INPUTS, np.nan, np.float32))
        with pytest.raises(Refused, match="Input is not finite"):
            target.board.infer()
    with pytest.raises(BadInput, match="model name ad01: got a model whose outputs are not as many as its inputs"):
        input_bytes(DEPLOYMENT.program, "ad01")


def test_random_and_mutated_lines_are_all_answered(board: Path) -> None:
    state = Interpreter(DEPLOYMENT.program).save()
    commands = [*random_commands(0, 400, INPUTS, state), b"name"]
    replies = answers(board, commands)
    assert len(replies) == 1 + len(commands)
    assert all(line[:2] in ("m-", "e-") for reply in replies for line in reply)
    assert replies[-1] == ["m-name-dut-[edgeff]"]


def test_a_board_on_a_serial_port_learns_to_the_bit_as_the_twin_does(board: Path) -> None:
    twin = Interpreter(DEPLOYMENT.program)
    with on_terminal(board) as port, SerialTarget(port) as target:
        fresh = target.save()
        for label, x in enumerate(DEPLOYMENT.inputs(samples(4))):
            target.write_input(x)
            assert target.predict() == twin.predict(x)
            assert target.output() == pytest.approx((twin.output().astype(float) + 128) / 256, abs=1e-6)  # six decimals
            assert target.learn(label) == twin.learn(x, label) == Code.OK
            if label == 1:
                assert target.set_rate(0.25) == twin.set_rate(0.25) == Code.OK
        assert target.set_rate(1.5) == Code.BAD_RATE
        with pytest.raises(BadInput, match="learning rate: got nan; allowed: 0 to 1"):
            target.set_rate(float("nan"))
        assert target.learn(9) == Code.BAD_LABEL
        assert target.save() == twin.save() != fresh
        weights = np.concatenate([twin.tensor(tensor.name).reshape(-1) for tensor in watched(DEPLOYMENT.program)])
        state = target.board.state()
        assert (state["steps"], state["parameters"]) == ("4", f"{weights.size}")
        assert state["saturated"] == f"{(abs(weights) >= 127).sum()}"
        learned = target.save()
        target.init()
        assert target.save() == fresh
        target.restore(learned)
        assert target.read("eff_state", 200) == learned
        damaged = bytearray(learned)
        damaged[40] ^= 1
        with pytest.raises(Refused, match="State refused: code -3"):
            target.write("eff_state", bytes(damaged))
        assert target.save() == learned
        with pytest.raises(BadInput, match="'eff_arena'; allowed: eff_output, eff_state"):
            target.read("eff_arena", 8)


def test_samples_are_quantised_as_edgeff_does_it(board: Path) -> None:
    x = samples(3) * 2 - 0.5
    with on_terminal(board) as port, SerialTarget(port) as target:
        for sample, codes in zip(x, DEPLOYMENT.inputs(x), strict=True):
            assert target.board.input_format.encode(sample) == codes.tobytes()
        with pytest.raises(BadInput, match="sample: got NaN or infinity"):
            target.board.send(np.full(INPUTS, np.nan))


def test_a_recorded_log_shows_what_the_live_page_did(board: Path, cli: CommandLine, tmp_path: Path) -> None:
    """Each sample predicted before it is learned, as the twin does; a refused label counts; the page fits 80 columns."""
    x, labels, twin, watch = samples(12), np.arange(12) % 5, Interpreter(DEPLOYMENT.program), Watch(window=4)
    log = RunLog(also=watch.feed)
    with on_terminal(board) as port, SerialTarget(port, log=log.wire) as target:
        assert [*stream(target.board, x, labels)] == [*range(1, 13)]
    hits = []
    for inputs, label in zip(DEPLOYMENT.inputs(x), labels.tolist(), strict=True):
        if label < 4:  # there is no class 4
            hits.append(twin.predict(inputs) == label)
            twin.learn(inputs, label)
    assert (watch.steps, watch.refused, watch.resets, watch.accuracy) == (10, 2, 0, sum(hits[-4:]) / 4)
    assert watch.state["steps"] == "10"
    log.write(tmp_path / "log")
    replayed = cli.ok("monitor", "--replay", tmp_path / "log", "--speed", "1e9", "--window", 4, "--json").json
    assert replayed == {"name": "edgeff", "model": "kws01", **figures(watch)}
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(page(watch, "the board's own clock"))
    text = console.export_text()
    assert "of the last 4" in text
    assert max(map(len, text.splitlines())) <= 80
    refused = cli("monitor", "--replay", board)
    assert "got no line of a run; allowed: a log of `edgeff monitor --record`" in refused.err
    assert "missing TASK: got none; allowed: a task to learn, or --replay LOG" in cli("monitor").err


BOOT = b"m-timestamp-mode-performance\r\nm-lap-us-1\r\nm-init-done\r\nm-ready\r\n"
ECHO = b"e-[Unknown command: %s]\r\nm-ready\r\n"
NAME = b"m-name-dut-[x]\r\nm-ready\r\n"
FAILURES: dict[str, tuple[list[bytes], str | None]] = {
    "silence": ([b""], r"no answer within 0\.\d+ s after 'db print'"),
    "half a line": ([b"m-buff"], r"half a line, 'm-buff', and then nothing within"),
    "no end": ([b"m-buffer-00\r\n"], "an answer without m-ready within"),
    "a reset": ([b"m-buffer-00\r\nm-bu\r\n" + BOOT], "a reset during 'db print'; start the run again"),
    "an error": ([b"e-[Unknown command: db]\r\nm-ready\r\n"], r"command 'db print': got e-\[Unknown command: db\]"),
    "noise and then a reply": ([b"\xff\x00\x81hello\r\n\r\n", b"m-buffer-00\r\n\x80\x80\r\nm-ready\r\n"], None),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_what_goes_wrong_on_the_line_ends_in_one_line(failure: str) -> None:
    pieces, message = FAILURES[failure]
    with peer(lambda command: pieces if command == b"db print" else [NAME]) as port:
        line = open_line(port, patience=0.05)
        if message is None:
            assert line.ask("db print") == ["m-buffer-00"]
            return
        with pytest.raises(EdgeffError, match=message) as caught:
            line.ask("db print")
        assert "\n" not in str(caught.value)
        assert line.ask("name") == ["m-name-dut-[x]"]  # the board serves on


def test_half_commands_and_replies_of_before_are_passed_over() -> None:
    """The first word ends what another session began, the second comes while the board starts, the third is answered."""
    spoken = iter([[b"e-[Command 'db load' must be >0 bytes]\r\nm-ready\r\n"], [BOOT], [NAME, ECHO % b"sync3"], [NAME]])
    with peer(lambda _command: next(spoken), synchronises=False) as port:
        assert open_line(port, patience=0.2).ask("name") == ["m-name-dut-[x]"]


def test_a_line_that_is_gone_and_a_port_that_is_not_there_are_told(tmp_path: Path) -> None:
    class Gone:
        in_waiting = 0

        def write(self, _content: bytes) -> int:
            return 0

        def read(self, _size: int) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(EdgeffError, match=r"^board on it: got the line is gone: Input/output error; plug it in again$"):
        Line(Gone(), "it").ask("name")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"serial port .*none: got no such port; allowed: a port of this machine: "):
        open_line(str(tmp_path / "none"))


class NoisyPort:
    """A line that answers the first three commands rightly and later ones with a change in a line, or with other lines; seeded."""

    STATE = b"m-state-[input=int8,inputs=12,scale=0.5f,zero=(3),steps=4,refused=0,saved=160,arena=176]"
    FIRST = ((b"m-name-dut-[edgeff]",), (b"m-model-[kws01]",), (STATE,))
    RIGHT: ClassVar = {
        b"infer": (b"m-infer-start-1", b"m-lap-us-12", b"m-lap-us-30", b"m-infer-done", b"m-results-[0.25,0.75]"),
        b"learn": (b"m-lap-us-12", b"m-lap-us-30", b"m-learn-done"),
        b"save": (b"m-save-start-3", b"m-state-0102ff", b"m-save-done"),
        b"state": (STATE,),
    }
    OTHER = (b"e-[Learning refused: code -1]", b"m-timestamp-mode-performance", b"m-ready", b"hello")

    def __init__(self, seed: int) -> None:
        self._random, self._waiting, self._asked = random.Random(seed), b"", 0

    @property
    def in_waiting(self) -> int:
        return len(self._waiting)

    def write(self, content: bytes) -> int:
        if content.startswith(b"sync"):
            self._waiting = ECHO % content[:-1]
            return len(content)
        if self._asked < len(self.FIRST):
            lines, self._asked = [*map(bytearray, self.FIRST[self._asked]), bytearray(b"m-ready")], self._asked + 1
        else:
            lines = [*map(bytearray, self.RIGHT[content.rstrip(b"%").split()[0]])]
            for _ in range(self._random.randrange(3)):
                line = self._random.choice(lines)
                place = self._random.randrange(len(line) + 1)
                line[place : place + self._random.randrange(3)] = self._random.choice((b"", b"9" * 5000, b"\xff", b",", b".", b"]", b"\n"))
            if self._random.random() < 0.2:
                lines.insert(self._random.randrange(len(lines)), bytearray(self._random.choice(self.OTHER)))
            lines += [bytearray(b"m-ready")] if self._random.random() < 0.95 else []
        self._waiting += b"".join(bytes(line) + b"\r\n" for line in lines)
        return len(content)

    def read(self, size: int) -> bytes:
        content, self._waiting = self._waiting[:size], self._waiting[size:]
        return content


def test_noise_in_replies_ends_in_one_line_and_never_in_a_traceback() -> None:
    acts, ended = (methodcaller("infer"), methodcaller("learn", 1), methodcaller("save"), methodcaller("counted", "steps")), []
    for seed in range(150):
        watch = Watch()
        board = SerialBoard(Line(NoisyPort(seed), "it", RunLog(also=watch.feed).wire, patience=0.0005))  # type: ignore[arg-type]
        for act in acts:
            try:
                act(board)
            except EdgeffError as error:
                ended.append(str(error))
        figures(watch)
    assert 100 < len(ended) < 500  # some of it is right
    assert not any("\n" in text for text in ended)


def test_the_format_of_another_firmware_has_to_be_named() -> None:
    answered = {b"name": NAME, b"profile": b"m-model-[ic01]\r\nm-ready\r\n", b"state": b"e-[Unknown command: state]\r\nm-ready\r\n"}
    wanted = "firmware that does not say what it is; allowed: .*; name it: --input float32"
    with peer(lambda command: [answered[command]]) as port, pytest.raises(BadInput, match=wanted):
        SerialBoard(open_line(port, patience=0.2))


@pytest.mark.parametrize("knows_state", [False, True])
def test_a_board_that_knows_neither_state_nor_save_learns_all_the_same(knows_state: bool) -> None:
    """As docs/learn.md has it: both are optional. A board that counts is believed."""
    about = b"m-state-[input=float32,inputs=2,steps=3,refused=1]\r\n" if knows_state else b"e-[Unknown command: state]\r\n"
    said = {
        b"name": NAME.removesuffix(b"m-ready\r\n"),
        b"profile": b"m-model-[ic01]\r\n",
        b"state": about,
        b"db": b"m-load-done\r\n",
        b"infer": b"m-infer-start-1\r\nm-lap-us-1\r\nm-lap-us-3\r\nm-infer-done\r\nm-results-[0.25,0.75]\r\n",
        b"learn": b"m-learn-start-1\r\nm-lap-us-1\r\nm-lap-us-8\r\nm-learn-done\r\n",
    }
    unknown = b"e-[Unknown command]\r\n"
    with peer(lambda command: [said.get(command.split()[0], unknown) + b"m-ready\r\n"]) as port:
        board = SerialBoard(open_line(port, patience=0.2), input_format("float32"))
        x = np.zeros((2, 2), np.float32)
        run = learning(board, (x, np.array([0, 1])), (x, np.array([1, 0])), RunLog())
    assert (run.before, run.step_us, run.state) == (0.5, 7, None)
    assert (run.steps, run.refused) == ((3, 1) if knows_state else (2, 0))


def test_a_board_without_a_serial_line_is_refused(tmp_path: Path, cli: CommandLine, models: Path) -> None:
    built = cli("build", models / "float.onnx", "--board", "rpi_pico", "--template", "serial", "-o", tmp_path / "fw")
    assert built.status == 2
    assert "firmware template serial on board rpi_pico: got no [uart] in its file; allowed: microbit, microbit_v2, mps2_an385" in built.err
    from edgeff.device.serial.emulated import emulated

    with pytest.raises(Unsupported, match="got no QEMU machine; connect it: --port P"), emulated(tmp_path, load_board("rpi_pico")):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the board to run on: got neither --port nor --board; allowed: --port P, or --board B --firmware DIR"),
        (("--board", "mps2_an386"), "missing --firmware: got none"),
        (("--port", "x", "--input", "int8"), "format of the input: got 'int8'; allowed: float32, or int8, uint8 or int16 with a scale"),
    ],
)
def test_a_run_that_lacks_something_is_refused(cli: CommandLine, arguments: tuple[str, ...], message: str) -> None:
    ended = cli("run", "accuracy", "digits", *arguments)
    assert ended.status == 2
    assert message in ended.err


@pytest.mark.parametrize(
    "machine", ["mps2_an386", pytest.param("qemu_virt_rv32", marks=pytest.mark.slow), pytest.param("microbit", marks=pytest.mark.slow)]
)
def test_an_emulated_board_runs_as_mlperf_tiny_s_runner_asks(machine: str, cli: CommandLine, models: Path, tmp_path: Path) -> None:
    needs(machine)
    firmware = tmp_path / "fw"
    build = ("build", models / "int8.onnx", "--board", machine, "--template", "serial", "--rule", "pepita", "--numeric", "int8")
    cli.ok(*build, "-o", firmware)
    run = ("digits", "--board", machine, "--firmware", firmware, "--seed", 3, "--json")
    learned = cli.ok("run", "learn", *run, "--samples", 4, "--test-samples", 5, "--save", tmp_path / "state.bin").json
    assert (learned["steps"], learned["refused"], learned["evidence"].split(":")[0]) == (4, 0, "emulated by QEMU")
    assert len((tmp_path / "state.bin").read_bytes()) == learned["saved_bytes"]
    if machine != "mps2_an386":
        return
    timed = cli.ok("run", "performance", *run, "--windows", 3, "--seconds", "0.02", "-o", tmp_path / "log").json
    assert timed["throughput"] == sorted(timed["throughputs"])[1] > 100
    assert all(count / rate >= 0.02 for count, rate in zip(timed["iterations"], timed["throughputs"], strict=True))
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert len(re.findall(r"^\d{5}\.\d{3} ulp-mlperf:   Throughput   : +[\d.]+ inf\./sec\.$", log, re.MULTILINE)) == 3


@contextlib.contextmanager
def peer(answer: Callable[[bytes], list[bytes]], *, synchronises: bool = True) -> Iterator[str]:
    """A terminal with someone at the other end who answers each command with pieces, one after the other."""
    ours, theirs = os.openpty()
    subprocess.run(["stty", "-F", os.ttyname(theirs), "raw", "-echo"], check=True)
    stopped = threading.Event()

    def serve() -> None:
        received = b""
        while not stopped.is_set():
            try:
                received += os.read(ours, 1024)
            except OSError:
                return
            while b"%" in received:
                command, _, received = received.partition(b"%")
                for piece in [ECHO % command] if synchronises and command.startswith(b"sync") else answer(command):
                    os.write(ours, piece)
                    time.sleep(0.01)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        stopped.set()
        os.close(theirs)
        thread.join(2)
        os.close(ours)
