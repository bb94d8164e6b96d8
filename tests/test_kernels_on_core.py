"""The kernels and all forms of them that a Cortex-M4F has, their assembly too, against the NumPy twins, on the emulated core by both
compilers: shapes of 1 to 70 with odd remainders, values at the extremes of their ranges.
"""

from __future__ import annotations

import numpy as np
import pytest
from emulated_kernels import BOARD, EmulatedKernels, build
from kernel_cases import FILLS, SIZES, Draw, case, constants, run_c, run_twin
from test_kernels import same_bits

from edgeff import registry
from edgeff.device.boards import load_board
from edgeff.device.cores import core_of
from edgeff.device.toolchains import TOOLCHAINS

FEATURES = core_of(load_board(BOARD)).features
MADE_FOR_IT = sorted(
    (name, variant.name)
    for name, kernel in registry.kernels.items()
    for variant in kernel.variants
    if variant.needs and variant.needs <= FEATURES
)
CASES = 60


@pytest.fixture(scope="module", params=["gcc", "zig"])
def core(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EmulatedKernels:
    """The kernels as a compiler builds them."""
    if not TOOLCHAINS[request.param].available():
        pytest.skip(f"{request.param} is not installed: {TOOLCHAINS[request.param].how_to_get}")
    return EmulatedKernels(build(tmp_path_factory.mktemp("core"), request.param, {registry.kernels[name] for name, _ in MADE_FOR_IT}))


@pytest.mark.parametrize(("name", "form"), MADE_FOR_IT)
def test_a_form_made_for_the_core_is_the_twin(name: str, form: str, core: EmulatedKernels) -> None:
    kernel = registry.kernels[name]
    variant, tried = kernel.variant(form), 0
    for seed in range(40 * CASES):
        rng = np.random.default_rng(seed)
        sizes = {size: int(rng.integers(1, 70, endpoint=True)) for size in SIZES} | {"per_channel": seed % 2}
        made = case(kernel, Draw(rng, FILLS[seed % len(FILLS)], sizes))
        if not variant.accepts(made.attrs, constants(kernel, made)):
            continue
        tried += 1
        for parameter, x, y in zip(kernel.pointers, run_twin(kernel, made), run_c(core, kernel, made, variant), strict=False):
            assert same_bits(x, y), f"{parameter.name}: twin {x}, C {y}, arguments {made.attrs}"
        if tried == CASES:
            break
    assert tried == CASES, "too few cases fit the form"
