"""Every kernel's NumPy twin against its C, bit for bit; kernels are taken from the registry and their arguments from the prototypes."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_cases import FILLS, SIZES, Case, Draw, case, constants, every_kernel, run_c, run_twin

from edgeff import registry
from edgeff.codegen.scan import defined
from edgeff.errors import EdgeffError
from edgeff.ir import Array
from edgeff.kernels import PACKAGE, Kernel, Out, kernel, own_sources
from edgeff.kernels.records import Matrix, OutputI8, Size

KERNELS = sorted(registry.kernels)
EXAMPLES = 60 if os.environ.get("EDGEFF_CI") else 20


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """All kernels as one library of the host."""
    return every_kernel(tmp_path_factory.mktemp("kernels"))


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays are equal to the bit; a NaN may be any NaN, for the sign and payload of one are the machine's own."""
    if a.dtype == np.float32:
        a, b = np.where(np.isnan(a), np.float32(np.nan), a), np.where(np.isnan(b), np.float32(np.nan), b)
    return a.tobytes() == b.tobytes()


def check(library: ctypes.CDLL, item: Kernel, made: Case) -> None:
    twin = run_twin(item, made)
    fitting = [variant for variant in item.variants if variant.accepts(made.attrs, constants(item, made))]
    for variant in (None, *fitting):
        for parameter, x, y in zip(item.pointers, twin, run_c(library, item, made, variant), strict=False):
            where = f"{item.name}{f', {variant.name}' if variant else ''}, {parameter.name}"
            assert same_bits(x, y), f"{where}: twin {x}, C {y}, arguments {made.attrs}"


@pytest.mark.parametrize("name", KERNELS)
@given(
    seed=st.integers(0, 2**32 - 1),
    fill=st.sampled_from(FILLS),
    sizes=st.fixed_dictionaries({name: st.one_of(st.integers(1, 5), st.integers(1, 70)) for name in SIZES}),
    per_channel=st.integers(0, 1),
)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_every_c_file_belongs_to_a_kernel() -> None:
    sources = {path for item in registry.kernels.values() for path in (item.source, *(item.variant_source(v.name) for v in item.variants))}
    assert {path for path in sources if path.is_relative_to(PACKAGE)} == set(own_sources())


def test_every_function_of_the_kernels_files_is_a_kernel_or_declared_in_a_header() -> None:
    functions = {function for item in registry.kernels.values() for function in item.functions}
    declared = {name for path in (PACKAGE / "kernels").glob("*.h") for name in defined(path.read_text(encoding="utf-8"))}
    there = {name for path in own_sources() for name in defined(path.read_text(encoding="utf-8"))}
    assert there - declared == functions


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
    def eff_orphan_f32(y: Annotated[Array, Out("float", "n")], n: Size) -> None:
        """Has no prototype."""

    with pytest.raises(EdgeffError, match="kernel eff_orphan_f32: got no C function"):
        kernel()(eff_orphan_f32)
    assert "eff_orphan_f32" not in registry.kernels


def test_a_parameter_without_its_declaration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.c").write_text("void eff_odd_f32(float *y, int32_t n)\n{\n}\n", encoding="utf-8")
    text = 'from edgeff.kernels import kernel\n@kernel()\ndef eff_odd_f32(y, n: int) -> None:\n    "Odd."\n'
    (tmp_path / "odd.py").write_text(text, encoding="utf-8")
    with pytest.raises(EdgeffError, match=r"kernel eff_odd_f32, y: got None; allowed: Annotated"):
        registry.load_plugin(tmp_path / "odd.py")
    assert "eff_odd_f32" not in registry.kernels


def test_a_record_refuses_what_leaves_its_range() -> None:
    with pytest.raises(EdgeffError, match=r"eff_matrix, n_in: got 0; allowed: an integer, 1 or more"):
        Matrix(3, 0)
    with pytest.raises(EdgeffError, match=r"eff_output_i8, y_max: got 128; allowed: an integer, -128 to 127"):
        OutputI8(0, 0, -128, 128, 0)


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
    from edgeff.rules.words.feedback import FeedbackInt, FeedbackTable

    rng = np.random.default_rng(0)
    n, n_e, key = 37, 45, 12345
    e = rng.integers(-32767, 32768, n_e).astype(np.int16)
    stored, generated = np.zeros(n, np.int16), np.zeros(n, np.int16)
    signs = feedback_signs(n, n_e, key)
    registry.kernels["eff_feedback_delta_i16"].run(generated, e, FeedbackInt(n, n_e, 2**30, -6, key))
    registry.kernels["eff_feedback_table_delta_i16"].run(stored, e, signs.reshape(-1), FeedbackTable(n, n_e, 2**30, -6))
    assert (stored == generated).all()
    assert np.abs(generated).max() > 100
    x, y = rng.normal(size=n_e).astype(np.float32), np.zeros(n, np.float32)
    registry.kernels["eff_feedback_f32"].run(y, x, n, n_e, 0, key, 0.25)
    assert y.tolist() == [sums_of_groups(np.float32(0.25) * signs[row] * x) for row in range(n)]


def test_a_parameter_that_may_be_absent_says_so() -> None:
    for name, absent in (("eff_dense_f32", {"b"}), ("eff_conv2d_i8", {"b"}), ("eff_softmax_i8", set())):
        assert {param.name for param in registry.kernels[name].params if param.optional} == absent
