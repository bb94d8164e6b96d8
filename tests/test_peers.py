"""The plain C beside which edgeff's instructions stand computes what the papers' equations say, in NumPy."""

from __future__ import annotations

import ctypes
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgeff.device.toolchains.host import host_shared_library
from edgeff.ir import Array

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NETWORKS = [((6, 5, 4), True), ((5, 7, 3, 6, 5), False)]


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("peers")


def drawn(widths: tuple[int, ...], softmax: bool) -> tuple[list[Array], Array, Array, Array]:
    """Weights, a feedback matrix, a sample and a target."""
    rng = np.random.default_rng(len(widths))
    shapes = [*zip(widths[1:], widths, strict=False), (widths[0], widths[-1]), (widths[0],)]
    *weights, feedback, x = (rng.normal(0, 0.7, shape).astype(np.float32) for shape in shapes)
    return weights, feedback, x, np.eye(widths[-1], dtype=np.float32)[1] if softmax else x


def flat(weights: list[Array]) -> Array:
    return np.concatenate([w.reshape(-1) for w in weights]).astype(np.float32)


@pytest.mark.parametrize(("widths", "softmax"), NETWORKS)
def test_the_naive_c_is_the_equations(peers: ModuleType, tmp_path: Path, widths: tuple[int, ...], softmax: bool) -> None:
    for name in ("naive.c", "naive.h"):
        (tmp_path / name).write_bytes((BENCHMARKS / name).read_bytes())
    (tmp_path / "network.h").write_text(peers.header(widths, softmax), encoding="utf-8")
    host_shared_library([tmp_path / "naive.c"], tmp_path, tmp_path / "naive.so")
    library = ctypes.CDLL(str(tmp_path / "naive.so"))
    weights, feedback, x, target = drawn(widths, softmax)

    def result(name: str, w: Array, *rest: Array) -> Any:
        getattr(library, name)(*(ctypes.c_void_p(array.ctypes.data) for array in (w, *rest)))
        return pytest.approx(w, rel=1e-5, abs=1e-6)  # float32 sums against float64

    output = np.zeros(widths[-1], np.float32)
    assert peers.forward(weights, x, softmax)[-1] == result("naive_infer", output, flat(weights), x)
    assert flat(peers.bp(weights, x, target, softmax)) == result("naive_bp_step", flat(weights), x, target)
    assert flat(peers.pepita(weights, feedback, x, target, softmax)) == result("naive_pepita_step", flat(weights), feedback, x, target)


@pytest.mark.parametrize(("widths", "softmax"), NETWORKS)
def test_the_step_expected_of_peers_descends_the_loss(peers: ModuleType, widths: tuple[int, ...], softmax: bool) -> None:
    weights, _, x, target = drawn(widths, softmax)

    def loss(changed: list[Array]) -> float:
        y = peers.forward(changed, x, softmax)[-1]
        return float(-np.log(y) @ target) if softmax else float(((y - target) ** 2).sum() / 2)

    exact = [w.astype(np.float64) for w in weights]
    for w, new in zip(exact, peers.bp(exact, x, target, softmax, rate=1.0), strict=True):
        slopes = np.zeros_like(w)
        for place in np.ndindex(*w.shape):
            start = w[place]
            w[place] = start + 1e-6
            above = loss(exact)
            w[place] = start - 1e-6
            slopes[place] = (above - loss(exact)) / 2e-6
            w[place] = start
        np.testing.assert_allclose(w - new, slopes, rtol=1e-5, atol=1e-7)  # central differences in float64
