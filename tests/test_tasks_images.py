"""The tasks mnist, cifar10 and ic: their images bit by bit, that no test image trains, and files that are not what they say."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from data_server import Site, serve
from task_data import checked, digests, empty_folders, refusal, task

from edgeff import registry
from edgeff.formats import load
from edgeff.ir import Array
from edgeff.networks import structure
from edgeff.tasks import cifar10, ic, mnist
from edgeff.tasks._files import Remote
from edgeff.train.loop import train

Find = Callable[[str], Path]


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_folders(tmp_path, monkeypatch)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


# ------------------------------------------------------------------ mnist


def idx(array: Array) -> bytes:
    return gzip.compress(b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def digits(count: int, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 28, 28)).astype(np.uint8), rng.integers(0, 10, count).astype(np.uint8)


def offered(arrays: dict[str, Array]) -> tuple[dict[str, bytes], dict[str, Remote]]:
    """Files for a server, and the addresses and checksums of these in place of the official ones."""
    files = {remote.name: idx(arrays[key]) for key, remote in mnist.OFFICIAL.items()}
    remotes = {}
    for key, remote in mnist.OFFICIAL.items():
        content = files[remote.name]
        remotes[key] = Remote(remote.url, f"sha256:{hashlib.sha256(content).hexdigest()}", len(content), remote.mirrors)
    return files, remotes


def test_mnist_of_the_folder_is_the_file_divided_by_255(reference_data: Find, data_folder: Path) -> None:
    (data_folder / "mnist.npz").symlink_to(reference_data("mnist.npz"))
    data = checked(task("mnist").load(), "mnist")
    with np.load(reference_data("mnist.npz"), allow_pickle=False) as file:
        assert data.y_train.tolist() == file["y_train"].tolist()
        assert data.y_test.tolist() == file["y_test"].tolist()
        assert np.array_equal(np.rint(data.x_train[..., 0] * 255), file["x_train"])
        assert data.x_test[0, 7, 10, 0] == np.float32(file["x_test"][0, 7, 10]) / np.float32(255)
    assert (len(data.x_train), len(data.x_test), data.x_train.min(), data.x_train.max()) == (60_000, 10_000, 0.0, 1.0)
    again = task("mnist").load(seed=1)
    assert np.array_equal(again.x_test, data.x_test)


def test_mnist_is_downloaded_as_four_files_and_read_like_the_folders(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (x_train, y_train), (x_test, y_test) = digits(50, 0), digits(20, 1)
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    files, remotes = offered(arrays)
    monkeypatch.setattr(mnist, "OFFICIAL", remotes)
    with serve(Site(files, breaks_after=[100])) as site:
        monkeypatch.setenv("EDGEFF_DATA_URL", site.url)
        downloaded = checked(task("mnist").load(), "mnist")
        assert len(site.asked) == 5
    cached = task("mnist").load()
    np.savez(data_folder / "mnist.npz", **arrays)  # type: ignore[arg-type]
    local = task("mnist").load()
    for data in (downloaded, cached, local):
        for part, expected in arrays.items():
            shown = getattr(data, part)
            assert np.array_equal(np.rint(shown[..., 0] * 255) if part.startswith("x") else shown, expected)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        idx(np.zeros((3, 28, 28), np.uint8))[:-12],
        gzip.compress(b"\0\0\x08\x03" + bytes(12)),
        gzip.compress(b"\0\0\x0d\x01abcdefgh"),
    ],
    ids=["empty", "no gzip", "cut", "axes of zero", "another type"],
)
def test_a_damaged_idx_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    assert refusal(lambda: mnist.read_idx(path)).startswith(f"data file {path}: got ")


def test_an_idx_file_that_unpacks_without_end_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 100_000_000) + bytes(100_000_000), 1))
    assert "allowed: an IDX file of uint8" in refusal(lambda: mnist.read_idx(path))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"y_train": np.full(50, 10, np.uint8)}, "labels: got 10 to 10; allowed: 0 to 9"),
        ({"y_test": np.zeros(19, np.uint8)}, "allowed: (n, 28, 28) and (n,)"),
        ({"x_train": np.zeros((50, 28, 27), np.uint8)}, "array 'x_train': got uint8 (50, 28, 27); allowed: uint8 (n, 28, 28)"),
        ({"x_train": np.zeros((50, 28, 28), np.float32)}, "array 'x_train': got float32 (50, 28, 28); allowed: uint8 (n, 28, 28)"),
    ],
)
def test_a_folder_file_that_is_no_mnist_is_one_line(data_folder: Path, changed: dict[str, Array], said: str) -> None:
    (x_train, y_train), (x_test, y_test) = digits(50, 0), digits(20, 1)
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test} | changed
    np.savez(data_folder / "mnist.npz", **arrays)  # type: ignore[arg-type]
    assert said in refusal(task("mnist").load)


def test_a_dense_list_of_as_many_inputs_learns_images_as_it_learns_their_flat_form(
    data_folder: Path, tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (x_train, y_train), (x_test, y_test) = digits(60, 0), digits(20, 1)
    np.savez(data_folder / "mnist.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    cli.ok("train", "mnist", "--network", "784-8-10", "--rule", "pepita", "--epochs", "2", "-o", "m.onnx")
    data = task("mnist").load()
    flat = replace(data, x_train=data.x_train.reshape(60, -1), x_test=data.x_test.reshape(20, -1))
    settings = registry.rules["pepita"].settings.changed({"epochs": "2"})
    expected = train(flat, structure("784-8-10"), "pepita", settings, 0).network
    assert load("m.onnx").input_shape == (28, 28, 1)
    for layer in expected.trainable:
        assert np.array_equal(load("m.onnx")[layer.name].params["weight"], layer.params["weight"])
    values = {
        cli.ok("evaluate", "m.onnx", "mnist", "--engine", engine, "--json").json["value"] for engine in ("edgeff", "c", "onnxruntime")
    }
    assert len(values) == 1


# ------------------------------------------------------------------ cifar10 and ic

RECORDS = 20


def batch(seed: int) -> bytes:
    records = np.random.default_rng(seed).integers(0, 256, (RECORDS, 3073)).astype(np.uint8)
    records[:, 0] %= 10
    return records.tobytes()


def archive(members: dict[str, bytes], folder: str = "cifar-10-batches-bin", link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(f"{folder}/{link}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(entry)
    return buffer.getvalue()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Batches of 20 records in place of 10,000."""
    monkeypatch.setattr(cifar10, "RECORDS", RECORDS)
    return {"batches.meta.txt": b"airplane\n"} | {name: batch(seed) for seed, name in enumerate(cifar10.BATCHES)}


def test_cifar10s_archive_is_read_pixel_by_pixel(small_batches: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    content = archive(small_batches)
    remote = Remote(cifar10.OFFICIAL.url, f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))
    monkeypatch.setattr(cifar10, "OFFICIAL", remote)
    with serve(Site({remote.name: content}, breaks_after=[50_000])) as site:
        monkeypatch.setenv("EDGEFF_DATA_URL", site.url)
        data = checked(task("cifar10").load(), "cifar10")
        assert [wanted for _, wanted in site.asked] == ["", "bytes=50000-"]
    assert (len(data.x_train), len(data.x_test)) == (5 * RECORDS, RECORDS)
    assert data.metadata["images"] == "all 50,000 and 10,000 images"
    for number, (name, first) in enumerate(zip(cifar10.BATCHES[:5], range(0, 5 * RECORDS, RECORDS), strict=True)):
        raw = np.frombuffer(small_batches[name], np.uint8).reshape(RECORDS, 3073)
        assert data.y_train[first : first + RECORDS].tolist() == raw[:, 0].tolist()
        row, column, colour = 3 + number, 31 - number, number % 3
        assert data.x_train[first : first + RECORDS, row, column, colour].tolist() == raw[:, 1 + 1024 * colour + 32 * row + column].tolist()


def test_an_archive_with_a_missing_short_double_or_linked_batch_is_one_line(small_batches: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "cifar.tar.gz"

    def read(content: bytes) -> str:
        path.write_bytes(content)
        return refusal(lambda: cifar10.read_official(path))

    without = {name: content for name, content in small_batches.items() if name != "data_batch_3.bin"}
    assert "got no data_batch_3.bin" in read(archive(without))
    assert "got no data_batch_3.bin" in read(archive(without, link="data_batch_3.bin"))
    assert "data_batch_3.bin: got 5 bytes; allowed: one of 61,460 bytes" in read(archive(small_batches | {"data_batch_3.bin": b"short"}))
    assert "labels: got 0 to 200" in read(archive(small_batches | {"test_batch.bin": b"\xc8" + small_batches["test_batch.bin"][1:]}))
    doubled = small_batches | {"other/data_batch_3.bin": small_batches["data_batch_3.bin"]}
    assert "other/data_batch_3.bin: got 61,460 bytes; allowed: one of 61,460 bytes" in read(archive(doubled))
    whole = archive(small_batches)
    for damaged in (b"", b"no archive", whole[: len(whole) // 2], whole[:5000] + bytes(1000) + whole[6000:]):
        read(damaged)


def test_the_subset_is_read_as_it_is_and_said_to_be_one(reference_data: Find, data_folder: Path) -> None:
    (data_folder / "cifar10_10k_2k.npz").symlink_to(reference_data("cifar10_10k_2k.npz"))
    data = checked(task("cifar10").load(), "cifar10")
    assert data.metadata["images"] == "a subset of 10,000 and 2,000 images"
    with np.load(reference_data("cifar10_10k_2k.npz"), allow_pickle=False) as file:
        assert np.array_equal(data.x_train, file["x_train"])
        assert np.array_equal(data.x_test, file["x_test"])
        assert data.classes == tuple(file["classes"].tolist())
    assert (data.x_train.max(), np.bincount(data.y_train).tolist()) == (255.0, [1000] * 10)
    assert not digests(data.x_train) & digests(data.x_test)


def test_the_evaluation_images_test_and_cifar10_trains(reference_data: Find, data_folder: Path) -> None:
    for name in ("cifar10_10k_2k.npz", "mlperf_ic01.npz"):
        (data_folder / name).symlink_to(reference_data(name))
    data = checked(task("ic").load(), "ic")
    assert (len(data.x_train), len(data.x_test)) == (10_000, 200)
    assert np.bincount(data.y_test).tolist() == [20] * 10
    assert not digests(data.x_train) & digests(data.x_test)
    assert data.metadata["training"] == "CIFAR-10, a subset of 10,000 and 2,000 images"


def test_without_cifar10_the_evaluation_images_test_and_nothing_is_downloaded(
    reference_data: Find, data_folder: Path, tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data_folder / "mlperf_ic01.npz").symlink_to(reference_data("mlperf_ic01.npz"))
    monkeypatch.chdir(tmp_path)
    with serve(Site()) as site:
        monkeypatch.setenv("EDGEFF_DATA_URL", site.url)
        data = checked(task("ic").load(), "ic")
        ended = cli("train", "ic", "--network", "resnet8", "--rule", "bp", "-o", "m.onnx")
        assert site.asked == []
    assert (data.x_train.shape, data.y_train.shape, len(data.x_test)) == ((0, 32, 32, 3), (0,), 200)
    data.need("test")
    line = refusal(lambda: data.need("train"))
    assert line == f"the training part of the data: got no samples; allowed: at least one; {cifar10.how_to_get()}"
    assert (ended.status, len(ended.err.splitlines())) == (2, 1)
    assert cifar10.how_to_get() in ended.err
    assert not (tmp_path / "m.onnx").exists()


def official_with(images: Array, labels: Array) -> cifar10.Images:
    """Images as of the full CIFAR-10 with the evaluation images at their places, all others black."""
    x, y = np.zeros((10_000, 32, 32, 3), np.uint8), np.zeros(10_000, np.uint8)
    places = np.array(ic.PLACES.split(), np.intp)
    x[places], y[places] = images, labels
    return cifar10.Images(x[:5], y[:5], x, y, "all")


def test_the_evaluation_images_are_picked_out_of_cifar10s_test_part(reference_data: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    with np.load(reference_data("mlperf_ic01.npz"), allow_pickle=False) as file:
        images, labels, places = file["x"], file["y"], file["test_batch_idx"]
    assert ic.PLACES.split() == [str(place) for place in places]
    official = official_with(images, labels)
    monkeypatch.setattr(ic, "download", lambda *_: Path("archive"))
    monkeypatch.setattr(ic, "read_official", lambda _: official)
    data = checked(task("ic").load(), "ic")
    assert np.array_equal(data.x_test, images)
    assert data.y_test.tolist() == labels.tolist()
    assert data.metadata["training"] == "CIFAR-10, all"


def test_another_test_part_of_cifar10_is_refused(reference_data: Find) -> None:
    with np.load(reference_data("mlperf_ic01.npz"), allow_pickle=False) as file:
        changed = official_with(file["x"] ^ np.eye(1, 3, dtype=np.uint8)[0], file["y"])
    assert "got images other than MLPerf Tiny's at their indices" in refusal(lambda: ic.evaluation_images(changed))
    few = changed._replace(x_test=changed.x_test[:5], y_test=changed.y_test[:5])
    assert "got images other than MLPerf Tiny's at their indices" in refusal(lambda: ic.evaluation_images(few))


def test_without_either_file_ic_names_both_ways(data_folder: Path) -> None:
    message = refusal(task("ic").load)
    assert message.startswith("MLPerf Tiny's evaluation images, cifar-10-binary.tar.gz: got no answer (ConnectionError)")
    assert (
        "or put mlperf_ic01.npz (MLPerf Tiny's ic01 samples, github.com/eembc/energyrunner, as uint8 arrays x and y) into a folder"
        in message
    )
    assert list(data_folder.iterdir()) == []
