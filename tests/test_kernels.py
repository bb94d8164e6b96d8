"""Every kernel's NumPy twin against its C, bit for bit; kernels are taken from the registry and their arguments from the prototypes."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_cases import FILLS, SIZES, Case, Draw, case, run_c, run_twin

from edgeff import registry
from edgeff.device.toolchains.host import host_shared_library
from edgeff.errors import EdgeffError
from edgeff.ir import Array
from edgeff.kernels import FOLDER, PACKAGE, Kernel, kernel, own_sources, prototypes

HEADER = FOLDER / "edgeff.h"
KERNELS = sorted(registry.kernels)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """All kernels as one library of the host."""
    out = tmp_path_factory.mktemp("kernels") / "kernels.so"
    host_shared_library(own_sources(), FOLDER, out)
    return ctypes.CDLL(str(out))


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays are equal to the bit; a NaN may be any NaN, for the sign and payload of one are the machine's own."""
    if a.dtype == np.float32:
        a, b = np.where(np.isnan(a), np.float32(np.nan), a), np.where(np.isnan(b), np.float32(np.nan), b)
    return a.tobytes() == b.tobytes()


def check(library: ctypes.CDLL, item: Kernel, made: Case) -> None:
    twin, c = run_twin(item, made), run_c(getattr(library, item.name), item, made)
    for parameter, x, y in zip(item.pointers, twin, c, strict=False):
        assert same_bits(x, y), f"{item.name}, {parameter.name}: twin {x}, C {y}, attributes {made.attrs}"


@pytest.mark.parametrize("name", KERNELS)
@given(
    seed=st.integers(0, 2**32 - 1),
    fill=st.sampled_from(FILLS),
    sizes=st.fixed_dictionaries({name: st.one_of(st.integers(1, 5), st.integers(1, 70)) for name in SIZES}),
    per_channel=st.integers(0, 1),
)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_twin_is_the_c(name: str, seed: int, fill: str, sizes: dict[str, int], per_channel: int, library: ctypes.CDLL) -> None:
    item = registry.kernels[name]
    draw = Draw(np.random.default_rng(seed), fill, sizes | {"per_channel": per_channel})
    check(library, item, case(item, draw))


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("name", KERNELS)
def test_the_twin_is_the_c_for_single_elements(name: str, fill: str, library: ctypes.CDLL) -> None:
    item = registry.kernels[name]
    for seed in range(10):
        sizes = dict.fromkeys(SIZES, 1) | {"per_channel": seed % 2}
        check(library, item, case(item, Draw(np.random.default_rng(seed), fill, sizes)))


@pytest.mark.parametrize("name", KERNELS)
def test_the_twin_is_the_c_for_a_wide_layer(name: str, library: ctypes.CDLL) -> None:
    item = registry.kernels[name]
    for seed, fill in enumerate(FILLS):
        sizes = {"n": 1000, "n_out": 33, "n_in": 1000, "n_e": 130, "classes": 100, "places": 3, "per_channel": 1}
        check(library, item, case(item, Draw(np.random.default_rng(seed), fill, sizes)))


def test_every_prototype_has_a_twin_and_every_twin_a_prototype() -> None:
    own = {name for name in registry.kernels if registry.kernels[name].source.is_relative_to(PACKAGE)}
    assert set(prototypes(HEADER)) == own


def test_every_c_file_stands_beside_its_twins() -> None:
    twins = {registry.kernels[name].source for name in registry.kernels}
    assert {path for path in twins if path.is_relative_to(PACKAGE)} == set(own_sources())


@pytest.mark.parametrize("name", KERNELS)
def test_the_c_is_defined_in_the_file_beside_the_twin(name: str) -> None:
    item = registry.kernels[name]
    assert re.search(rf"^void {name}\(", item.source.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_says_what_it_computes_and_costs(name: str) -> None:
    item = registry.kernels[name]
    assert item.run.__doc__
    draw = Draw(np.random.default_rng(0), "random", dict.fromkeys(SIZES, 7) | {"per_channel": 0})
    macs = item.macs(case(item, draw).attrs)
    assert isinstance(macs, int)
    assert macs >= 0


def test_a_twin_without_its_c_half_is_refused() -> None:
    def eff_orphan_f32(y: Array, x: Array, n: int) -> None:
        """Has no prototype."""

    with pytest.raises(EdgeffError, match="kernel eff_orphan_f32: got no C half"):
        kernel()(eff_orphan_f32)
    assert "eff_orphan_f32" not in registry.kernels


def test_a_twin_with_other_parameters_than_the_c_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.h").write_text("void eff_odd_f32(float *y, const float *x, int32_t n);\n", encoding="utf-8")
    (tmp_path / "odd.c").write_text('#include "odd.h"\n', encoding="utf-8")
    text = "from edgeff.kernels import kernel\n@kernel()\ndef eff_odd_f32(y, x, count):\n    '''Odd.'''\n"
    (tmp_path / "odd.py").write_text(text, encoding="utf-8")
    with pytest.raises(EdgeffError, match=r"eff_odd_f32.*twin parameters"):
        registry.load_plugin(tmp_path / "odd.py")
    assert "eff_odd_f32" not in registry.kernels


def sums_of_groups(values: Any) -> np.float32:
    total = np.float32(0)
    for first in range(0, len(values), 4):
        group = np.float32(0)
        for value in values[first : first + 4]:
            group += value
        total += group
    return total


def test_the_stored_feedback_is_the_generated_one() -> None:
    """Integers: the same sums. float32: the same matrix, added in another order."""
    from edgeff.kernels.arithmetic import feedback_signs

    rng = np.random.default_rng(0)
    n, n_e, key = 37, 45, 12345
    e = rng.integers(-32767, 32768, n_e).astype(np.int16)
    stored, generated = np.zeros(n, np.int16), np.zeros(n, np.int16)
    signs = feedback_signs(n, n_e, key)
    registry.kernels["eff_feedback_delta_i16"].run(generated, e, n, n_e, 2**30, -6, key)
    registry.kernels["eff_feedback_table_delta_i16"].run(stored, e, signs.reshape(-1), n, n_e, 2**30, -6)
    assert (stored == generated).all()
    assert np.abs(generated).max() > 100
    x, y = rng.normal(size=n_e).astype(np.float32), np.zeros(n, np.float32)
    registry.kernels["eff_feedback_f32"].run(y, x, n, n_e, 0, key, 0.25)
    assert y.tolist() == [sums_of_groups(np.float32(0.25) * signs[row] * x) for row in range(n)]
