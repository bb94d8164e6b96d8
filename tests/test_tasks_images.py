"""The tasks of images and of bearings: what their data are, bit by bit, that no test sample trains, and files that are not what they say."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import struct
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from data_server import Site, serve

from edgeff import registry
from edgeff.bench.metrics import auc
from edgeff.deploy import deploy
from edgeff.errors import BadInput, MissingTool
from edgeff.ir import Array
from edgeff.layers.mfcc import with_features
from edgeff.networks import initialised, structure
from edgeff.targets.host import HostTarget
from edgeff.tasks import Data, Task, bearings, cifar10, ic, mnist, vww
from edgeff.tasks._augment import flipped, moved, shifted_and_turned
from edgeff.tasks._files import Remote
from edgeff.train import accuracy, train

Find = Callable[[str], Path]
IMAGES = ("mnist", "cifar10", "ic", "vww")


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of data, an empty cache and no network."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("EDGEFF_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("EDGEFF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEFF_DATA_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "data"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


def task(name: str) -> Task:
    found: Task = registry.tasks[name]
    return found


def refusal(action: Callable[[], Any]) -> str:
    with pytest.raises(BadInput) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def checked(data: Data, name: str) -> Data:
    """``data``, which keep the contract of tasks."""
    assert data.input_shape == task(name).input_shape
    assert data.classes == task(name).classes
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert (x.dtype, y.dtype, len(x)) == (np.float32, np.int64, len(y))
        assert x.flags.c_contiguous
        assert set(y.tolist()) <= set(range(len(data.classes)))
    return data


def digests(x: Array) -> set[bytes]:
    return {hashlib.sha256(np.ascontiguousarray(sample).tobytes()).digest() for sample in x}


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
    assert "got others than MLPerf Tiny's at their places" in refusal(lambda: ic.evaluation_images(changed))
    few = changed._replace(x_test=changed.x_test[:5], y_test=changed.y_test[:5])
    assert "got others than MLPerf Tiny's at their places" in refusal(lambda: ic.evaluation_images(few))


def test_without_either_file_ic_names_both_ways(data_folder: Path) -> None:
    message = refusal(task("ic").load)
    assert message.startswith("MLPerf Tiny's evaluation images, cifar-10-binary.tar.gz: got no answer (ConnectionError)")
    assert (
        "or put mlperf_ic01.npz (MLPerf Tiny's ic01 samples, github.com/eembc/energyrunner, as uint8 arrays x and y) into a folder"
        in message
    )
    assert list(data_folder.iterdir()) == []


# ------------------------------------------------------------------ vww


def pictures(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, 96, 96, 3)).astype(np.uint8)


def test_pictures_as_arrays_are_split_by_the_seed_and_none_is_in_both_parts(data_folder: Path) -> None:
    x, y = pictures(40), np.arange(40, dtype=np.uint8) % 2
    np.savez(data_folder / "vww.npz", x=x, y=y)
    data, again, other = (checked(task("vww").load(seed), "vww") for seed in (0, 0, 1))
    assert (len(data.x_train), len(data.x_test), np.bincount(data.y_test).tolist()) == (36, 4, [2, 2])
    both = np.concatenate([data.x_train, data.x_test])
    assert digests(np.rint(both * 255).astype(np.uint8)) == digests(x)
    assert data.x_test.max() <= 1.0
    assert np.array_equal(data.x_train, again.x_train)
    assert digests(data.x_test) != digests(other.x_test)
    assert set(data.y_train[:10].tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (pictures(4), np.array([0, 1, 0, 2], np.uint8), "labels: got 0 to 2; allowed: 0 to 1"),
        (pictures(4), np.array([0, 1, 0], np.uint8), "got 4 pictures and 3 labels; allowed: one label a picture"),
        (pictures(4), np.array([0, 0, 0, 1], np.uint8), "the pictures of person: got 1; allowed: at least 2"),
        (pictures(4)[:, :95], np.array([0, 1, 0, 1], np.uint8), "array 'x': got uint8 (4, 95, 96, 3); allowed: uint8 (n, 96, 96, 3)"),
    ],
)
def test_arrays_that_are_no_pictures_of_two_classes_are_one_line(data_folder: Path, x: Array, y: Array, said: str) -> None:
    np.savez(data_folder / "vww.npz", x=x, y=y)
    assert said in refusal(task("vww").load)


def test_without_pictures_the_line_says_where_to_put_them() -> None:
    message = refusal(task("vww").load)
    assert "your own pictures: a folder vww/ with non_person and person, or vww.npz with x (n, 96, 96, 3) and y (n,) of uint8" in message


def bitmap(picture: Array) -> bytes:
    """A BMP file of a picture (H, W, 3) whose width is a multiple of 4."""
    height, width, _ = picture.shape
    pixels = picture[::-1, :, ::-1].tobytes()
    return (
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 54 + len(pixels), 0, 0, 54, 40, width, height, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
        + pixels
    )


def test_picture_files_are_read_by_pillow_and_damaged_ones_are_one_line(data_folder: Path) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    x = pictures(8)
    for label, name in enumerate(vww.FOLDERS):
        (data_folder / "vww" / name).mkdir(parents=True)
        for number, picture in enumerate(x[label::2]):
            (data_folder / "vww" / name / f"{number}.bmp").write_bytes(bitmap(picture))
    data = checked(task("vww").load(), "vww")
    read = np.rint(np.concatenate([data.x_train, data.x_test]) * 255).astype(np.uint8)
    for label in range(2):
        assert digests(read[np.concatenate([data.y_train, data.y_test]) == label]) == digests(x[label::2])
    damaged = data_folder / "vww" / "person" / "x.png"
    for content in (
        b"",
        b"\x89PNG\r\n\x1a\n" + bytes(30),
        bitmap(x[0])[:900],
        bitmap(np.zeros((4, 4, 3), np.uint8))[:18] + b"\xff\xff\xff\x7f" * 9,
    ):
        damaged.write_bytes(content)
        assert refusal(task("vww").load).startswith(f"picture {damaged}: got ")
    damaged.unlink()
    shutil.rmtree(data_folder / "vww" / "person")
    assert "got 4 pictures; allowed: pictures in each of non_person and person" in refusal(task("vww").load)


def test_pictures_of_another_size_are_squeezed_to_96x96(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    path = tmp_path / "x.bmp"
    path.write_bytes(bitmap(np.full((10, 200, 3), (10, 20, 30), np.uint8)))
    assert np.array_equal(vww.read_picture(path), np.full((96, 96, 3), (10, 20, 30), np.uint8))


def test_without_pillow_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingTool) as caught:
        vww.read_picture(tmp_path / "x.png")
    assert str(caught.value) == "Pillow is not installed; pip install pillow, or give the pictures as vww.npz"


# ------------------------------------------------------------------ augmentation


def test_images_are_moved_as_scipy_moves_them() -> None:
    from scipy.ndimage import affine_transform

    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (6, 13, 20, 3)).astype(np.float32)
    angle, down, right = (rng.uniform(-most, most, (6, 1, 1)) for most in (0.5, 4.0, 4.0))
    y = shifted_and_turned(x, angle, down, right)
    middle = np.array([6.0, 9.5])
    for image, moved_image, turn, by in zip(x, y, angle.ravel(), np.concatenate([down, right], axis=1)[..., 0], strict=True):
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        offset = middle + matrix @ (by - middle)
        for colour in range(3):
            reference = affine_transform(image[..., colour].astype(np.float64), matrix, offset, order=1, mode="nearest")
            # float32 weights of pixels up to 255
            assert np.abs(reference - moved_image[..., colour]).max() < 2e-3


def test_unmoved_images_keep_every_bit_and_whole_pixels_move_exactly() -> None:
    x = np.random.default_rng(0).uniform(0, 255, (3, 8, 9, 2)).astype(np.float32)
    zero = np.zeros((3, 1, 1))
    assert np.array_equal(moved(x, np.random.default_rng(1), degrees=0.0, shift=0.0), x)
    y = shifted_and_turned(x, zero, zero + 2, zero - 3)
    assert np.array_equal(y[:, :6, 3:], x[:, 2:, :6])
    assert np.array_equal(y[:, 7], np.repeat(y[:, 6:7], 2, axis=1)[:, 1])


def test_a_flip_mirrors_about_every_second_image_and_no_other() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (400, 4, 5, 3)).astype(np.float32)
    before = x.copy()
    y = flipped(x, np.random.default_rng(2))
    mirrored = np.array([np.array_equal(b, a[:, ::-1]) for a, b in zip(x, y, strict=True)])
    kept = np.array([np.array_equal(b, a) for a, b in zip(x, y, strict=True)])
    assert (mirrored ^ kept).all()
    assert 150 < mirrored.sum() < 250
    assert np.array_equal(x, before)


@pytest.mark.parametrize("name", IMAGES)
def test_augmentation_is_a_function_of_samples_and_generator_alone(name: str) -> None:
    x = np.random.default_rng(0).uniform(0, 1, (5, *task(name).input_shape)).astype(np.float32)
    before = x.copy()
    first, second, other = (task(name).augment(x, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (first.shape, first.dtype) == (x.shape, np.float32)
    assert np.array_equal(first, second)
    assert np.array_equal(x, before)
    assert np.array_equal(first, other) == (name == "mnist")
    assert task(name).augment(x[:0], np.random.default_rng(0)).shape == (0, *task(name).input_shape)


# ------------------------------------------------------------------ bearings


@pytest.fixture
def recordings(reference_data: Find, data_folder: Path) -> dict[str, Array]:
    path = reference_data(bearings.FILE)
    (data_folder / bearings.FILE).symlink_to(path)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


RAMP = 4 * 4 * bearings.WINDOW + 4000


def made_up(**changed: Array) -> dict[str, Array]:
    """A file of 37 recordings: the normal one rises by 1 every 4 samples, each of the others is its own number throughout."""
    names = ["normal", *bearings.FAULTS]
    y, loads = [0], [0]
    for label in range(1, 10):
        y, loads = [*y, *[label] * 4], [*loads, 0, 1, 2, 3]
    signals = [np.arange(RAMP, dtype=np.int64) // 4] + [np.full(RAMP, number) for number in range(1, 37)]
    arrays = {
        "signal": np.concatenate(signals).astype(np.int16),
        "offsets": np.arange(38, dtype=np.int64) * RAMP,
        "y": np.array(y, np.uint8),
        "load_hp": np.array(loads, np.uint8),
        "classes": np.array(names),
    }
    return arrays | changed


def write(folder: Path, arrays: dict[str, Array]) -> Path:
    np.savez_compressed(folder / bearings.FILE, **arrays)  # type: ignore[arg-type]
    return folder / bearings.FILE


def lines(signal: Array, rate: int) -> Array:
    """How far each half hertz from 20 to 400 Hz stands out of its neighbourhood, in a recording's first five seconds."""
    part = signal[: 5 * rate].astype(np.float64)
    power = np.abs(np.fft.rfft((part - part.mean()) * np.hanning(len(part)))) ** 2
    place = np.searchsorted(np.fft.rfftfreq(len(part), 1 / rate), np.arange(20, 400, 0.5))
    level = np.log([power[first : first + 3].max() for first in place])
    return np.asarray(level - np.convolve(level, np.ones(41) / 41, "same"))


def test_the_normal_recording_has_the_machines_lines_at_48_khz_and_keeps_them_at_12_khz(
    recordings: dict[str, Array], data_folder: Path
) -> None:
    offsets, names = recordings["offsets"], recordings["classes"][recordings["y"]]
    parts = [recordings["signal"][first:last] for first, last in zip(offsets[:-1], offsets[1:], strict=True)]
    (normal,) = [part for part, name in zip(parts, names, strict=True) if name == "normal"]
    faults = [part for part, name, load in zip(parts, names, recordings["load_hp"], strict=True) if name != "normal" and load == 0]
    (made,) = [signal for signal, fault, _ in bearings.read_recordings(data_folder / bearings.FILE) if not fault]
    for fault in faults:
        reference = lines(fault, 12_000)
        at_12, at_48, slowed = (
            np.corrcoef(lines(signal, rate), reference)[0, 1] for signal, rate in ((normal, 12_000), (normal, 48_000), (made, 12_000))
        )
        assert at_12 < 0.3 < 0.45 < at_48
        assert abs(slowed - at_48) < 0.1


@pytest.mark.parametrize(("name", "seed"), [("bearings", 0), ("bearings", 1), ("bearings", 2), ("bearings_raw", 1), ("bearings_10", 0)])
def test_no_test_window_shares_a_sample_a_load_or_where_sizes_are_held_out_a_bearing_with_training(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, seed: int
) -> None:
    arrays = made_up()
    write(data_folder, arrays)
    cut: list[Array] = []
    shape = task(name).input_shape
    monkeypatch.setattr(bearings.Bearings, "inputs", lambda _, windows: cut.append(windows) or np.zeros((len(windows), *shape), np.float32))
    checked(task(name).load(seed), name)
    train_side, test_side = cut
    normal = [side[np.ptp(side, axis=1) > 0].astype(np.int64) for side in cut]
    assert normal[0].max() + bearings.WINDOW // 2 < normal[1][:-1].min()
    faults = [{int(number) for number in side[np.ptp(side, axis=1) == 0][:, 0]} for side in (train_side, test_side)]
    held_out = bearings.SIZES[seed % 3]
    numbers = range(1, 37)
    names, loads = arrays["classes"][arrays["y"]], arrays["load_hp"]
    apart = {number for number in numbers if str(names[number]).endswith(held_out)}
    unloaded = {number for number in numbers if loads[number] == 0}
    if name == "bearings_10":
        assert faults == [set(numbers) - unloaded, unloaded]
    else:
        assert faults == [set(numbers) - unloaded - apart, unloaded & apart]
        assert (len(faults[0]), len(faults[1])) == (18, 3)


def test_test_windows_do_not_overlap_and_cover_what_is_left_of_the_normal_recording(recordings: dict[str, Array]) -> None:
    data = checked(task("bearings").load(0), "bearings")
    normal, fault = (int((data.y_test == label).sum()) for label in range(2))
    length = -(-int(recordings["offsets"][1]) // 4)
    assert normal == (length - round(0.6 * length) - bearings.WINDOW) // bearings.WINDOW
    assert fault == 3 * (120_000 // bearings.WINDOW)
    assert not digests(data.x_train) & digests(data.x_test)


@pytest.mark.parametrize("name", ["bearings", "bearings_10", "bearings_raw"])
def test_bearings_depend_on_the_seed_alone_and_are_mixed_for_calibration(recordings: dict[str, Array], name: str) -> None:
    data, again = (checked(task(name).load(4), name) for _ in range(2))
    assert np.array_equal(data.x_train, again.x_train)
    assert np.array_equal(data.y_train, again.y_train)
    assert np.array_equal(data.x_test, again.x_test)
    assert set(data.y_train[:200].tolist()) == set(range(len(data.classes)))
    assert len(recordings["y"]) == 37


def test_inputs_do_not_change_with_the_gain_of_the_sensor() -> None:
    windows = np.random.default_rng(0).integers(-3000, 3000, (5, bearings.WINDOW)).astype(np.int16)
    for name in ("bearings", "bearings_raw"):
        item = task(name)
        assert isinstance(item, bearings.Bearings)
        plain, loud = item.inputs(windows), item.inputs((windows * 8).astype(np.int16))
        # exact but for the coefficients' float32 division by the largest sample, and a deviation's last bit
        assert np.abs(plain - loud).max() < 1e-5
        assert np.isfinite(item.inputs(np.zeros((2, bearings.WINDOW), np.int16))).all()


def test_a_board_computes_the_inputs_of_bearings_from_samples(recordings: dict[str, Array]) -> None:
    item = task("bearings")
    assert isinstance(item, bearings.Bearings)
    signal = recordings["signal"][int(recordings["offsets"][5]) :][: 40 * bearings.WINDOW]
    windows = bearings.windows(signal, bearings.WINDOW)
    network = initialised(structure("20-8-2"), 0)
    plain, behind = deploy(network), deploy(with_features(network, item.features, item.samples))
    from_inputs = HostTarget(plain.program).predict_many(plain.inputs(item.inputs(windows)))[1]
    from_samples = HostTarget(behind.program).predict_many(behind.inputs(windows))[1]
    assert np.array_equal(from_samples, from_inputs)
    assert len({row.tobytes() for row in from_samples}) == 40


def test_what_is_trained_on_bearings_hears_faults_of_bearings_that_it_never_saw(recordings: dict[str, Array]) -> None:
    for seed in range(3):
        data = task("bearings").load(seed)
        for rule in ("bp", "pepita"):
            settings = registry.rules[rule].settings.changed({"epochs": "5"})
            outputs = train(data, structure("20-16-2"), rule, settings, seed).scores(data.x_test)
            assert auc(outputs[:, 1] - outputs[:, 0], data.y_test == 1) >= 0.95
    assert len(recordings["y"]) == 37


def test_nine_faults_are_told_apart_at_a_load_never_seen_and_not_from_shuffled_labels(recordings: dict[str, Array]) -> None:
    data = task("bearings_10").load(0)
    shuffled = replace(data, y_train=np.random.default_rng(0).permutation(data.y_train))
    shares = []
    for known in (data, shuffled):
        settings = registry.rules["bp"].settings.changed({"epochs": "10"})
        scores = train(known, structure("20-64-10"), "bp", settings, 0).scores(data.x_test)
        shares.append(accuracy(scores, data.y_test))
    assert shares[0] > 0.95
    assert shares[1] < 0.3
    assert len(recordings["y"]) == 37


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"offsets": np.arange(37, dtype=np.int64) * RAMP}, "got 37 recordings that do not fit their offsets"),
        ({"offsets": np.arange(38, dtype=np.int64)[::-1] * RAMP}, "got 37 recordings that do not fit their offsets"),
        ({"offsets": np.zeros(0, np.int64)}, "got 37 recordings that do not fit their offsets"),
        (
            {
                "offsets": np.zeros(1, np.int64),
                "signal": np.zeros(0, np.int16),
                "y": np.zeros(0, np.uint8),
                "load_hp": np.zeros(0, np.uint8),
            },
            "got 0",
        ),
        ({"load_hp": np.zeros(36, np.uint8)}, "got 37 recordings that do not fit their offsets"),
        ({"load_hp": np.zeros(37, np.uint8)}, "got no recording of B007 for one of the two parts"),
        ({"y": np.full(37, 10, np.uint8)}, "labels: got 10 to 10; allowed: 0 to 9"),
        ({"y": np.full(37, 1, np.uint8)}, "got no recording of normal for one of the two parts"),
        ({"classes": np.array(["a\nb", *bearings.FAULTS])}, "classes: got a\\nb, B007"),
        ({"classes": np.array([*bearings.FAULTS, *bearings.FAULTS])}, "got no recording of normal"),
        ({"signal": np.zeros(RAMP * 37, np.float32)}, "array 'signal': got float32"),
    ],
)
def test_recordings_that_cannot_be_cut_are_one_line(data_folder: Path, changed: dict[str, Array], said: str) -> None:
    path = write(data_folder, made_up(**changed))
    assert said in refusal(lambda: bearings.read_recordings(path))
