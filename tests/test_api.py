"""The package itself: what it offers, and that importing it is cheap."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

import edgeff
from edgeff import _HOMES, ROOMS


@pytest.mark.parametrize("name", ROOMS)
def test_every_room_is_a_module(name: str) -> None:
    assert isinstance(getattr(edgeff, name), ModuleType)


def test_every_name_comes_from_its_home() -> None:
    for home, names in _HOMES.items():
        module = importlib.import_module(f"edgeff.{home}")
        for name in names:
            assert getattr(edgeff, name) is getattr(module, name)
    assert sorted(name for names in _HOMES.values() for name in names) == edgeff.__all__
    assert not set(edgeff.__all__) & set(ROOMS)
    assert {*edgeff.__all__, *ROOMS} <= set(dir(edgeff))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'edgeff' has no attribute 'trian'"):
        edgeff.trian  # noqa: B018


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, edgeff; print([name for name in sys.modules if name.startswith(('edgeff.', 'numpy', 'onnx'))])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert printed == "['edgeff.lazy']\n"
