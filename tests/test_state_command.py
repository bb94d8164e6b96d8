"""``edgeff state``: what a device saved is shown, judged as by the C, and goes back into a model that predicts as the device does."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from small_networks import deployed, samples, small

from edgeff.codegen.folder import write_c
from edgeff.codegen.learned import learned_in
from edgeff.device.targets.host import HostTarget
from edgeff.errors import BadInput, Unsupported
from edgeff.formats import load
from edgeff.formats.onnx.training import training_graphs, write_model
from edgeff.formats.onnx.writer import write_onnx
from edgeff.graphs import Learner
from edgeff.ir import Network, Numeric
from edgeff.program.deploy import Deployment, deploy
from edgeff.program.interpreter import Interpreter
from edgeff.program.learned import learned_network, left_out
from edgeff.program.state import HEADER_BYTES, header_of, learned_of, payload_of, saved_from

NUMERICS: list[Numeric] = ["float32", "int8"]


def device(deployment: Deployment, steps: int = 12) -> HostTarget:
    """The C of a program after some steps."""
    host = HostTarget(deployment.program)
    host.learn_many(deployment.inputs(samples(steps)), np.arange(steps) % 4)
    return host


def saved_in(folder: Path, rule: str, numeric: Numeric, network: Network | None = None) -> tuple[Deployment, HostTarget]:
    """``folder`` with ``model.onnx``, ``c`` and the ``state.bin`` of a device that has learned."""
    deployment = deployed(rule, numeric, network)
    host = device(deployment)
    write_onnx(deployment.network, folder / "model.onnx")
    write_c(deployment.program, folder / "c")
    (folder / "state.bin").write_bytes(host.save())
    return deployment, host


def big_endian(state: bytes) -> bytes:
    """The state as a big-endian machine writes it; its payload is any."""
    words = struct.unpack("<3I", state[4:16])
    header = state[:3] + bytes([state[3] + 128]) + struct.pack(">3I", *words)
    payload = state[HEADER_BYTES:-4]
    return header + struct.pack(">I", zlib.crc32(header)) + payload + struct.pack(">I", zlib.crc32(payload))


def test_a_state_goes_to_a_graph_and_comes_back_as_a_model(cli: CommandLine, folder: Path) -> None:
    """The graph goes on from what a device saved, and the device's model from what the graph learned."""
    deployment, host = saved_in(folder, "pepita", "int8")
    options = ("--rule", "pepita", "--numeric", "int8")
    cli.ok("state", "state.bin", "model.onnx", *options, "-o", "device.npz")
    write_model((graphs := training_graphs(deployment.program)).learn, folder / "t.onnx")
    write_model(graphs.infer, folder / "t.infer.onnx")
    learner = Learner(folder / "t.onnx")
    learner.restore(folder / "device.npz")
    for x in deployment.inputs(samples(5)):
        learner.learn(x, 2)
        host.learn(x, 2)
    learner.save(folder / "graph.npz")
    cli.ok("state", "graph.npz", "model.onnx", *options, "-o", "back.bin")
    assert (folder / "back.bin").read_bytes() == host.save()
    cli.ok("state", "graph.npz", "model.onnx", *options, "-o", "learned.onnx")
    learned = Interpreter(deploy(load(folder / "learned.onnx")).program)
    for x in deployment.inputs(samples(5)):
        assert learned.predict(x) == learner.predict(x)
    cli.ok("state", "learned.onnx", "model.onnx", *options, "-o", "again.bin")  # and the model is a state again, for other devices
    other = HostTarget(deployment.program)
    other.restore((folder / "again.bin").read_bytes())
    for name in ("dense_1.weight", "dense_2.weight"):
        assert (other.tensor(name) == host.tensor(name)).all()
    assert other.tensor("step") == 0
    assert "'dense_1.weight' of the learned model: got other numbers" in cli("state", "learned.onnx", "model.onnx", "--rule", "frozen").err
    assert "got no model file" in cli("state", "learned.onnx").err
    np.savez(folder / "other.npz", rate=np.ones(1, np.int64))
    with pytest.raises(BadInput, match=r"state file 'other.npz', '.*': got no such array; allowed: int8 .*, as this model"):
        saved_from(deployment.program, host.memory, Path("other.npz"))


@pytest.mark.parametrize("numeric", NUMERICS)
def test_a_state_alone_is_described(cli: CommandLine, folder: Path, numeric: Numeric) -> None:
    _, host = saved_in(folder, "bp", numeric)
    learned = learned_of(host.program, host.memory)
    expected = {"ok": True, "code": "OK", "version": 1, "byte_order": "little", "sequence": 0, "binding": f"{learned.binding:016x}"}
    expected |= {"payload_bytes": learned.payload_bytes, "models": {}, "tensors": None, "out": None}
    assert cli.ok("state", "state.bin", "--json").json == expected
    assert "the check sums hold" in cli.ok("state", "state.bin").out
    (folder / "big.bin").write_bytes(big_endian(host.save()))
    assert cli.ok("state", "big.bin", "--json").json == expected | {"byte_order": "big"}


@pytest.mark.parametrize("erased", [1, 3, 4, 500])
def test_erased_flash_may_follow(cli: CommandLine, folder: Path, erased: int) -> None:
    _, host = saved_in(folder, "bp", "int8")
    (folder / "slot.bin").write_bytes(host.save() + b"\xff" * erased)
    for model in ([], ["model.onnx", "--rule", "bp"], ["c"]):
        assert cli.ok("state", "slot.bin", *model, "--json").json["payload_bytes"] == host.memory.saved_bytes


@pytest.mark.parametrize("ones", range(5))
def test_a_check_sum_that_ends_like_erased_flash_is_part_of_the_state(ones: int) -> None:
    header = Interpreter(deployed("bp", "int8").program).save()[:HEADER_BYTES]
    tail = b"\xff" * ones
    numbers = range(2**20) if ones < 3 else ()
    payload = next((p for n in numbers if (p := struct.pack("<I", n)) and struct.pack("<I", zlib.crc32(p)).endswith(tail)), b"\x00" * 3)
    state = header + payload + struct.pack("<I", zlib.crc32(payload))
    assert payload_of(state + b"\xff" * 9) == payload


def test_a_state_that_is_damaged_is_shown_and_refused(cli: CommandLine, folder: Path) -> None:
    _, host = saved_in(folder, "bp", "int8")
    state = bytearray(host.save())
    state[HEADER_BYTES + 5] ^= 1
    (folder / "bad.bin").write_bytes(state)
    for model in ([], ["model.onnx", "--rule", "bp", "-o", "learned.onnx"], ["c"]):
        ended = cli("state", "bad.bin", *model, "--json")
        assert (ended.status, ended.json["code"], ended.json["ok"], ended.json["out"]) == (1, "DAMAGED", False, None)
        assert "saved state 'bad.bin': got a damaged state: a check sum is wrong" in ended.err
    assert not (folder / "learned.onnx").exists()


def test_no_flipped_bit_of_a_header_is_overlooked() -> None:
    state = Interpreter(deployed("bp", "int8").program).save()
    for bit in range(8 * HEADER_BYTES):
        damaged = bytearray(state)
        damaged[bit // 8] ^= 1 << bit % 8
        text = "bytes that are no saved state" if bit < 24 else "a damaged state: a check sum is wrong"
        with pytest.raises(BadInput, match=f"^saved state: got {text}; allowed: the bytes of version 1 that eff_save wrote"):
            header_of(bytes(damaged))


def test_what_is_no_state_is_refused_in_one_line(cli: CommandLine, folder: Path) -> None:
    _, host = saved_in(folder, "bp", "int8")
    header = host.save()[:3] + b"\x02" + host.save()[4:16]
    for content, text in (
        (b"", "bytes that are no saved state"),
        (host.save()[:19], "a saved state without its end"),
        (b"\xff" * 300, "bytes that are no saved state"),
        (header + struct.pack("<I", zlib.crc32(header)) + bytes(40), "a state of another version than 1"),
    ):
        (folder / "x.bin").write_bytes(content)
        ended = cli("state", "x.bin", "model.onnx", "--rule", "bp")
        assert ended.status == 2
        assert ended.err.startswith(f"error: saved state: got {text}")
    assert "got No such file or directory" in cli("state", "none.bin").err


@pytest.mark.parametrize(("rule", "numeric"), [("bp", "int8"), ("pepita", "float32"), ("scff", "float32"), ("frozen:dense_1,bp", "int8")])
def test_a_model_that_takes_the_state_tells_what_has_changed(cli: CommandLine, folder: Path, rule: str, numeric: Numeric) -> None:
    deployment, host = saved_in(folder, rule, numeric)
    result = cli.ok("state", "state.bin", "model.onnx", "--rule", rule, "--json").json
    binding = f"{learned_of(host.program, host.memory).binding:016x}"
    assert result["models"] == {"model.onnx": {"code": "OK", "binding": binding}}
    assert result["binding"] == binding
    fresh = Interpreter(deployment.program)
    assert [entry["name"] for entry in result["tensors"]] == [tensor.name for tensor in host.program.saved]
    for entry in result["tensors"]:
        now = host.tensor(entry["name"])
        assert entry["changed"] == int((now != fresh.tensor(entry["name"])).sum())
        assert (entry["smallest"], entry["largest"]) == (now.min(), now.max())
        assert (entry["dtype"], entry["bytes"], entry["elements"]) == (str(now.dtype), now.nbytes, now.size)
    assert any(entry["changed"] for entry in result["tensors"] if entry["role"] == "variable")
    assert "ok: the model takes it" in cli.ok("state", "state.bin", "model.onnx", "--rule", rule).out


@pytest.mark.parametrize(("rule", "numeric"), [("bp", "int8"), ("bp", "float32"), ("pepita", "int8"), ("frozen:dense_1,bp", "int8")])
def test_the_model_that_is_written_predicts_as_the_device(cli: CommandLine, folder: Path, rule: str, numeric: Numeric) -> None:
    deployment, host = saved_in(folder, rule, numeric, small(bias=rule != "pepita"))
    x = samples(40)
    expected = []
    for sample in deployment.inputs(x):
        host.predict(sample)
        expected.append(host.output())
    ended = cli.ok("state", "state.bin", "model.onnx", "--rule", rule, "-o", "learned.onnx", "--json")
    assert ended.json["out"] == "learned.onnx"
    assert ended.err.startswith("note: a model file has no place for rate, step")
    again = HostTarget(deploy(load(folder / "learned.onnx")).program)
    outputs = []
    for sample in deployment.inputs(x):
        again.predict(sample)
        outputs.append(again.output())
    assert (np.array(outputs) == np.array(expected)).all()
    tensors = cli.ok("state", "state.bin", "learned.onnx", "--rule", rule, "--json").json["tensors"]
    assert [entry["changed"] for entry in tensors if entry["role"] == "variable"] == [0] * sum(e["role"] == "variable" for e in tensors)


def test_another_model_refuses_the_state(cli: CommandLine, folder: Path) -> None:
    saved_in(folder, "bp", "int8")
    ended = cli("state", "state.bin", "model.onnx", "--rule", "pepita", "-o", "learned.onnx", "--json")
    assert (ended.status, ended.json["code"], ended.json["tensors"], ended.json["out"]) == (1, "FOREIGN", None, None)
    assert ended.json["models"]["model.onnx"]["binding"] != ended.json["binding"]
    assert "got the state of another model" in ended.err
    assert not (folder / "learned.onnx").exists()


def test_a_folder_of_several_models_says_which_one_takes_the_state(cli: CommandLine, folder: Path) -> None:
    _, host = saved_in(folder, "bp", "int8")
    write_c(deployed("scff", "float32").program, folder / "several", prefix="wake_")
    write_c(deployed(None, "int8").program, folder / "several", prefix="plain_")
    ended = cli("state", "state.bin", "several", "--json")
    assert (ended.status, {name: item["code"] for name, item in ended.json["models"].items()}) == (1, {"wake_model.c": "FOREIGN"})
    write_c(host.program, folder / "several")
    result = cli.ok("state", "state.bin", "several", "--json").json
    assert {name: item["code"] for name, item in result["models"].items()} == {"model.c": "OK", "wake_model.c": "FOREIGN"}


@pytest.mark.parametrize(("rule", "prefix"), [("bp", "eff_"), ("scff", "eff_"), ("scff", "wake_"), ("pepita", "a_")])
@pytest.mark.parametrize("numeric", NUMERICS)
def test_a_folder_says_of_its_states_what_the_program_does(rule: str, prefix: str, numeric: Numeric, tmp_path: Path) -> None:
    source = write_c(deployed(rule, numeric).program, tmp_path, prefix=prefix)
    assert [*learned_in(tmp_path).values()] == [learned_of(deployed(rule, numeric).program, source.memory)]


def test_a_folder_without_a_model_that_learns_is_refused(tmp_path: Path) -> None:
    write_c(deployed(None, "int8").program, tmp_path)
    for folder in (tmp_path, tmp_path / "example"):
        with pytest.raises(BadInput, match="got no model whose C saves what it learns"):
            learned_in(folder)


def test_options_without_a_model_file_are_refused(cli: CommandLine, folder: Path) -> None:
    saved_in(folder, "bp", "int8")
    for words, got in (
        (["c", "--rule", "bp"], "the folder 'c'"),
        (["-o", "x.onnx"], "no model file"),
        (["--numeric", "int8"], "no model file"),
    ):
        ended = cli("state", "state.bin", *words)
        assert ended.status == 2
        assert f"got {got}; allowed: a model file" in ended.err
    ended = cli("state", "state.bin", "model.onnx")
    assert (ended.status, ended.err) == (
        2,
        "error: model: got one of no known rule; allowed: the rule the device learns by; name it: --rule R\n",
    )


def test_what_the_network_has_no_place_for_is_named() -> None:
    for rule, replay, names in (
        ("bp", 6, ["rate", "step", "replay.count", "replay.samples", "replay.labels"]),
        ("local_heads", None, ["rate", "step"]),
    ):
        deployment = deployed(rule, "float32", replay=replay)
        assert left_out(deployment.network, deployment.program) == names


def test_a_network_of_other_weights_than_the_program_started_from_is_refused() -> None:
    deployment = deployed("bp", "float32")
    values = {tensor.name: tensor.data for tensor in deployment.program.by_role("variable") if tensor.data is not None}
    other = small()
    other["dense_1"].params["weight"][0, 0] += 1
    with pytest.raises(Unsupported, match=r"^parameter 'dense_1.weight': got another form in the program"):
        learned_network(other, deployment.program, values)
    with pytest.raises(Unsupported, match="got no parameter of the network"):
        learned_network(small(), deployed(None, "float32").program, {})
