"""Visual wake words, whose pictures are the user's, and how training images are moved about."""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from task_data import checked, digests, empty_folders, refusal, task

from edgeff.errors import MissingTool
from edgeff.ir import Array
from edgeff.tasks import vww
from edgeff.tasks._augment import flipped, moved, shifted, shifted_and_turned

IMAGES = ("mnist", "cifar10", "ic", "vww")


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_folders(tmp_path, monkeypatch)


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
        (pictures(4), np.array([0, 1, 0], np.uint8), "got 4 pictures and 3 labels; allowed: one label per picture"),
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
    assert str(caught.value) == "Pillow is not installed; pip install pillow, or provide the pictures as vww.npz"


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


def test_shifts_by_whole_pixels_repeat_the_border_and_reach_every_place() -> None:
    image = np.arange(20, dtype=np.float32).reshape(1, 4, 5, 1)
    found = shifted(np.repeat(image, 400, axis=0), np.random.default_rng(0), 1)
    expected = set()
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            rows, columns = np.clip(np.arange(4) + down, 0, 3), np.clip(np.arange(5) + right, 0, 4)
            expected.add(image[0][rows][:, columns].tobytes())
    assert {each.tobytes() for each in found} == expected
    assert shifted(image, np.random.default_rng(0), 0).tobytes() == image.tobytes()


@pytest.mark.parametrize("name", IMAGES)
def test_augmentation_is_a_function_of_samples_and_generator_alone(name: str) -> None:
    x = np.random.default_rng(0).uniform(0, 1, (5, *task(name).input_shape)).astype(np.float32)
    before = x.copy()
    first, second, other = (task(name).augment(x, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (first.shape, first.dtype.name) == (x.shape, "float32")
    assert np.array_equal(first, second)
    assert np.array_equal(x, before)
    assert np.array_equal(first, other) == (name == "mnist")
    assert task(name).augment(x[:0], np.random.default_rng(0)).shape == (0, *task(name).input_shape)
