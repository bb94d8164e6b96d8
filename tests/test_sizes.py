"""Sizes: kernels count in int32_t, so a tensor of 2^31 bytes or more is refused when it is lowered, before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest

from edgeff.errors import Unsupported
from edgeff.ir import Array, Layer, Network, Quant
from edgeff.ops.dense import Dense
from edgeff.ops.relu import Relu
from edgeff.program.lower import lower
from edgeff.program.lower.builder import check_size


def unreal(*shape: int, dtype: type = np.float32) -> Array:
    """An array of any shape that takes no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def dense(n: int, dtype: type = np.float32) -> Network:
    quant = {} if dtype is np.float32 else {"output": Quant((0.1,)), "weight": Quant((0.1,))}
    layer = Layer("wide", Dense(), ("input",), (n,), {"weight": unreal(n, n, dtype=dtype)}, quant)
    return Network("n", (n,), (layer,), quant.get("output"))


@pytest.mark.parametrize(("dtype", "size"), [(np.float32, "19,600,000,000"), (np.int8, "4,900,000,000")])
def test_a_matrix_that_no_kernel_counts_is_refused(dtype: type, size: str) -> None:
    with pytest.raises(Unsupported, match=f"layer 'wide', weight: got {size} bytes; allowed: at most 2,147,483,647; use a smaller layer"):
        lower(dense(70_000, dtype))


def test_an_image_that_no_kernel_counts_is_refused() -> None:
    network = Network("n", (60_000, 60_000, 1), (Layer("relu", Relu(), ("input",), (60_000, 60_000, 1)),))
    with pytest.raises(Unsupported, match="the input of network 'n': got 14,400,000,000 bytes; allowed: at most 2,147,483,647"):
        lower(network)


def test_the_bound_is_the_last_byte_that_int32_counts() -> None:
    check_size("x", 2**31 - 1)
    with pytest.raises(Unsupported, match="x: got 2,147,483,648 bytes"):
        check_size("x", 2**31)


def test_an_image_of_the_largest_size_is_lowered() -> None:
    n = 2**29 - 1
    for size, allowed in ((n, True), (n + 1, False)):
        network = Network("n", (size,), (Layer("relu", Relu(), ("input",), (size,)),))
        if allowed:
            assert lower(network, target="input").infer[0].attrs["n"] == n
        else:
            with pytest.raises(Unsupported, match="2,147,483,648 bytes"):
                lower(network, target="input")
