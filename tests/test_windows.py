"""Host mathematics of windows: what is defined tap by tap, and its gradients against finite differences, in float64."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeff.ops import parallel, pool_math, window_math

Floats = NDArray[Any]
STEP = 1e-5
ROUNDING = 1e-7
"""Central differences of a bilinear function are exact but for rounding: 1e-16 of a sum of order 100, divided by the step."""

# kernel, stride, pads, depth multiplier, image (H, W, C), outputs
GEOMETRIES = {
    "same": ((3, 3), (1, 1), (1, 1, 1, 1), 1, (5, 4, 3), 2),
    "same at stride 2": ((3, 3), (2, 2), (0, 0, 1, 1), 1, (6, 6, 2), 3),
    "no padding": ((2, 3), (1, 1), (0, 0, 0, 0), 2, (4, 5, 2), 3),
    "asymmetric": ((3, 2), (2, 1), (0, 1, 1, 0), 2, (5, 4, 3), 2),
    "1x1": ((1, 1), (1, 1), (0, 0, 0, 0), 1, (3, 4, 3), 2),
    "1x1 at stride 2": ((1, 1), (2, 2), (0, 0, 0, 0), 1, (5, 4, 3), 2),
    "more stride than kernel": ((2, 2), (3, 3), (0, 0, 0, 0), 1, (8, 8, 2), 2),
    "more padding than kernel": ((3, 3), (1, 1), (3, 3, 3, 3), 1, (2, 3, 2), 2),
    "an image of one pixel": ((1, 1), (1, 1), (0, 0, 0, 0), 3, (1, 1, 1), 1),
    "a kernel as large as the image": ((4, 3), (1, 1), (0, 0, 0, 0), 1, (4, 3, 2), 5),
    "one row": ((1, 4), (1, 2), (0, 1, 0, 2), 1, (1, 9, 2), 3),
    "ds_cnn's first": ((10, 4), (2, 2), (4, 1, 5, 1), 1, (13, 4, 1), 2),
}
POOLS = {
    "side by side": ((2, 3), (2, 3), (0, 0, 0, 0), (4, 6, 2)),
    "the whole image": ((5, 4), (5, 4), (0, 0, 0, 0), (5, 4, 3)),
    "overlapping": ((3, 3), (2, 1), (1, 1, 0, 1), (5, 5, 2)),
    "with gaps": ((1, 2), (2, 3), (0, 0, 0, 0), (6, 8, 1)),
    "side by side with a rest": ((2, 2), (2, 2), (0, 0, 0, 0), (5, 5, 2)),
}


def geometry(name: str) -> Any:
    """Windows by name, and two random images with random weights of both kinds of convolution."""
    kernel, stride, pads, multiplier, image, outputs = GEOMETRIES[name]
    rng = np.random.default_rng(len(name))
    x = rng.normal(size=(2, *image))
    return x, rng.normal(size=(outputs, *kernel, image[2])), rng.normal(size=(*kernel, image[2] * multiplier)), stride, pads, multiplier


def places(x: Floats, kernel: tuple[int, ...], stride: tuple[int, int], pads: tuple[int, ...]) -> Any:
    """For each output place (h, w) and tap (i, j) inside the image, the row and column of x that it reads."""
    out_h, out_w = window_math.output_size(x.shape, kernel, stride, pads)  # type: ignore[arg-type]
    for h, w, i, j in product(range(out_h), range(out_w), *map(range, kernel)):
        row, column = h * stride[0] + i - pads[0], w * stride[1] + j - pads[1]
        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
            yield h, w, i, j, row, column


def difference_quotients(value: Callable[[], Floats], at: Floats, sent: Floats) -> Floats:
    """d (value . sent) / d at, by central differences."""
    found = np.zeros_like(at)
    for index in np.ndindex(*at.shape):
        before, ends = at[index], []
        for end in (STEP, -STEP):
            at[index] = before + end
            ends.append(float((value() * sent).sum()))
        at[index] = before
        found[index] = (ends[0] - ends[1]) / (2 * STEP)
    return found


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_convolution_is_the_sum_over_its_taps(name: str) -> None:
    x, weight, _, stride, pads, _ = geometry(name)
    actual = window_math.conv2d(x, weight, stride, pads)
    expected = np.zeros_like(actual)
    for h, w, i, j, row, column in places(x, weight.shape[1:3], stride, pads):
        expected[:, h, w] += x[:, row, column] @ weight[:, i, j].T
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_depthwise_convolution_is_the_sum_over_its_taps(name: str) -> None:
    x, _, weight, stride, pads, multiplier = geometry(name)
    actual = window_math.depthwise_conv2d(x, weight, stride, pads, multiplier)
    expected = np.zeros_like(actual)
    for h, w, i, j, row, column in places(x, weight.shape[:2], stride, pads):
        expected[:, h, w] += np.repeat(x[:, row, column], multiplier, axis=1) * weight[i, j]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_gradients_of_a_convolution_are_its_difference_quotients(name: str) -> None:
    x, weight, _, stride, pads, _ = geometry(name)
    y = window_math.conv2d(x, weight, stride, pads)
    sent = np.random.default_rng(1).normal(size=y.shape)
    of_weight = window_math.conv2d_weight_gradient(sent, x, weight.shape[1:3], stride, pads)
    of_x = window_math.conv2d_input_gradient(sent, weight, x.shape, stride, pads)
    np.testing.assert_allclose(
        of_weight, difference_quotients(lambda: window_math.conv2d(x, weight, stride, pads), weight, sent), rtol=0, atol=ROUNDING
    )
    np.testing.assert_allclose(
        of_x, difference_quotients(lambda: window_math.conv2d(x, weight, stride, pads), x, sent), rtol=0, atol=ROUNDING
    )


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_gradients_of_a_depthwise_convolution_are_its_difference_quotients(name: str) -> None:
    x, _, weight, stride, pads, multiplier = geometry(name)

    def value() -> Floats:
        return window_math.depthwise_conv2d(x, weight, stride, pads, multiplier)

    sent = np.random.default_rng(1).normal(size=value().shape)
    of_weight = window_math.depthwise_weight_gradient(sent, x, weight.shape[:2], stride, pads, multiplier)
    of_x = window_math.depthwise_input_gradient(sent, weight, x.shape, stride, pads, multiplier)
    np.testing.assert_allclose(of_weight, difference_quotients(value, weight, sent), rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(of_x, difference_quotients(value, x, sent), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("name", POOLS)
def test_the_average_counts_only_taps_inside_the_image(name: str) -> None:
    pool, stride, pads, image = POOLS[name]
    x = np.random.default_rng(3).normal(size=(2, *image))
    actual = pool_math.average_pool2d(x, pool, stride, pads)
    seen: dict[tuple[int, int], list[Floats]] = {}
    for h, w, _, _, row, column in places(x, pool, stride, pads):
        seen.setdefault((h, w), []).append(x[:, row, column])
    assert len(seen) == actual.shape[1] * actual.shape[2]
    for (h, w), taps in seen.items():
        np.testing.assert_allclose(actual[:, h, w], np.mean(taps, axis=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", POOLS)
def test_the_largest_is_one_inside_the_image(name: str) -> None:
    pool, stride, pads, image = POOLS[name]
    x = np.random.default_rng(3).normal(size=(2, *image)) - 10.0  # a padding of zeros would win
    actual = pool_math.max_pool2d(x, pool, stride, pads)
    expected = np.full_like(actual, -np.inf)
    for h, w, _, _, row, column in places(x, pool, stride, pads):
        expected[:, h, w] = np.maximum(expected[:, h, w], x[:, row, column])
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("name", POOLS)
def test_the_gradients_of_pools_are_their_difference_quotients(name: str) -> None:
    pool, stride, pads, image = POOLS[name]
    x = np.random.default_rng(4).normal(size=(2, *image))
    sent = np.random.default_rng(5).normal(size=pool_math.max_pool2d(x, pool, stride, pads).shape)
    of_average = pool_math.average_pool2d_gradient(sent, x.shape, pool, stride, pads)
    of_largest = pool_math.max_pool2d_gradient(sent, x, pool, stride, pads)
    averages = difference_quotients(lambda: pool_math.average_pool2d(x, pool, stride, pads), x, sent)
    np.testing.assert_allclose(of_average, averages, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(
        of_largest, difference_quotients(lambda: pool_math.max_pool2d(x, pool, stride, pads), x, sent), rtol=0, atol=ROUNDING
    )


def test_of_equal_largest_taps_the_first_takes_the_gradient() -> None:
    x = np.zeros((1, 2, 2, 1))
    actual = pool_math.max_pool2d_gradient(np.ones((1, 1, 1, 1)), x, (2, 2), (2, 2), (0, 0, 0, 0))
    assert actual[0, :, :, 0].tolist() == [[1.0, 0.0], [0.0, 0.0]]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_gradients_are_adjoint_to_the_convolutions(data: st.DataObject) -> None:
    kernel, stride = (tuple(data.draw(st.integers(1, 4)) for _ in "hw") for _ in range(2))
    pads = tuple(data.draw(st.integers(0, 4)) for _ in "tlbr")
    low = [max(kernel[i] - pads[i] - pads[i + 2], 1) for i in (0, 1)]
    image = tuple(data.draw(st.integers(least, least + 5)) for least in low)
    batch, channels, outputs, multiplier = (data.draw(st.integers(1, 3)) for _ in range(4))
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(batch, *image, channels)), rng.normal(size=(outputs, *kernel, channels))
    apart = rng.normal(size=(*kernel, channels * multiplier))
    y = window_math.conv2d(x, weight, stride, pads)  # type: ignore[arg-type]
    sent = rng.normal(size=y.shape)
    product_y = (y * sent).sum()
    of_x = window_math.conv2d_input_gradient(sent, weight, x.shape, stride, pads)  # type: ignore[arg-type]
    of_weight = window_math.conv2d_weight_gradient(sent, x, kernel, stride, pads)  # type: ignore[arg-type]
    np.testing.assert_allclose((of_x * x).sum(), product_y, atol=1e-10)
    np.testing.assert_allclose((of_weight * weight).sum(), product_y, atol=1e-10)
    y = window_math.depthwise_conv2d(x, apart, stride, pads, multiplier)  # type: ignore[arg-type]
    sent = rng.normal(size=y.shape)
    product_y = (y * sent).sum()
    of_x = window_math.depthwise_input_gradient(sent, apart, x.shape, stride, pads, multiplier)  # type: ignore[arg-type]
    of_weight = window_math.depthwise_weight_gradient(sent, x, kernel, stride, pads, multiplier)  # type: ignore[arg-type]
    np.testing.assert_allclose((of_x * x).sum(), product_y, atol=1e-10)
    np.testing.assert_allclose((of_weight * apart).sum(), product_y, atol=1e-10)


def every_result(x: Floats) -> list[Floats]:
    """What all functions make of images (n, 9, 8, 3)."""
    rng = np.random.default_rng(7)
    weight, apart = rng.normal(size=(4, 3, 3, 3)).astype(x.dtype), rng.normal(size=(3, 3, 6)).astype(x.dtype)
    stride, pads = (2, 1), (1, 1, 1, 1)
    y, z = window_math.conv2d(x, weight, stride, pads), window_math.depthwise_conv2d(x, apart, stride, pads, 2)
    average, largest = (pool(x, (2, 2), (2, 2), (0, 0, 0, 0)) for pool in (pool_math.average_pool2d, pool_math.max_pool2d))
    return [
        *(y, z, average, largest),
        window_math.conv2d_weight_gradient(y, x, (3, 3), stride, pads),
        window_math.conv2d_input_gradient(y, weight, x.shape, stride, pads),
        window_math.depthwise_weight_gradient(z, x, (3, 3), stride, pads, 2),
        window_math.depthwise_input_gradient(z, apart, x.shape, stride, pads, 2),
        pool_math.average_pool2d_gradient(average, x.shape, (2, 2), (2, 2), (0, 0, 0, 0)),
        pool_math.max_pool2d_gradient(largest, x, (2, 2), (2, 2), (0, 0, 0, 0)),
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_have_the_dtype_of_the_images(dtype: Any) -> None:
    assert {made.dtype for made in every_result(np.random.default_rng(0).normal(size=(3, 9, 8, 3)).astype(dtype))} == {np.dtype(dtype)}


def test_results_do_not_depend_on_the_count_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(37, 9, 8, 3)).astype(np.float32)
    monkeypatch.setattr(window_math, "PATCH_BYTES", 20_000)
    monkeypatch.setattr(parallel, "CACHED_BYTES", 2_000)
    found = []
    for cores in (1, 2, 3):
        monkeypatch.setattr(parallel, "cores", lambda cores=cores: cores)
        parallel._pool.cache_clear()
        found.append([made.tobytes() for made in every_result(x)])
    parallel._pool.cache_clear()
    assert len(parallel.cached(x)) > parallel.GROUPS
    assert found[0] == found[1] == found[2]


def test_a_batch_in_slices_is_the_batch_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(37, 9, 8, 3))
    whole = every_result(x)
    monkeypatch.setattr(window_math, "PATCH_BYTES", 1)
    monkeypatch.setattr(parallel, "CACHED_BYTES", 1)
    for expected, actual in zip(whole, every_result(x), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-11)


def test_no_images_give_no_results() -> None:
    assert window_math.conv2d(np.zeros((0, 4, 4, 2)), np.ones((3, 3, 3, 2)), (1, 1), (0, 0, 0, 0)).shape == (0, 2, 2, 3)
    assert pool_math.max_pool2d(np.zeros((0, 4, 4, 2)), (2, 2), (2, 2), (0, 0, 0, 0)).shape == (0, 2, 2, 2)


def test_memory_is_used_again_only_when_nobody_refers_to_it() -> None:
    shape = (64, 256)
    with parallel.recycling():
        first = parallel.empty(shape, np.float32)
        first[:] = 1.0
        address, part = first.ctypes.data, first[3:5]
        del first
        second = parallel.empty(shape, np.float32)
        second[:] = 2.0
        assert (part == 1.0).all()
        del part
        third = parallel.empty(shape, np.float32)
        assert third.ctypes.data == address
    fresh = parallel.empty(shape, np.float32)
    fresh[:] = 3.0
    assert (second == 2.0).all()


def test_an_error_on_another_core_is_raised_here() -> None:
    def work(part: slice) -> None:
        if part.start:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        parallel.each(work, parallel.slices(64, 1))


@pytest.mark.parametrize(("rows", "inner", "outputs"), [(5, 3, 2), (700, 64, 80), (300, 1, 30_000), (0, 3, 2)])
def test_products_by_slices_are_products(rows: int, inner: int, outputs: int) -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(rows, inner)), rng.normal(size=(inner, outputs)), rng.normal(size=(rows, outputs))
    np.testing.assert_allclose(parallel.product(a, b), a @ b, rtol=0, atol=1e-11)
    np.testing.assert_allclose(parallel.outer_sum(a, c), a.T @ c, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(10, 4, 2), (49, 10, 2), (32, 3, 1), (32, 3, 2), (1, 3, 1), (5, 1, 2), (7, 2, 7)])
def test_same_padding_gives_as_many_outputs_as_strides_fit(size: int, kernel: int, stride: int) -> None:
    before, after = window_math.same_padding(size, kernel, stride)
    assert (size + before + after - kernel) // stride + 1 == -(-size // stride)
    assert 0 <= after - before <= 1
