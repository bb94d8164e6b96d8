"""Discovery: edgeff's own packages, entry points of other distributions, folders of plugins; and what each refuses."""

from __future__ import annotations

import os
import re
import socket
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

import edgeff
from edgeff import registry
from edgeff.errors import BadInput, PassedOver
from edgeff.registry import Registry

PACKAGE = Path(edgeff.__file__).parent
PLUGIN = "from edgeff.registry import colours\n\ncolours.add({name!r}, {value!r})\n"


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> Registry[Any]:
    """A registry of its own, which plugin files of a test can import."""
    found: Registry[Any] = Registry("colour", None)
    monkeypatch.setattr(registry, "colours", found, raising=False)
    monkeypatch.delenv("EDGEFF_PLUGIN_DIR", raising=False)
    return found


def plugin_folder(folder: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("EDGEFF_PLUGIN_DIR", str(folder))


def files_of(kind: str) -> set[str]:
    return {path.stem for path in (PACKAGE / kind).glob("[!_]*.py")}


def test_one_file_is_one_rule() -> None:
    assert set(registry.rules) == files_of("rules")


def test_one_file_is_one_data_set_whose_further_tasks_bear_its_name() -> None:
    names, files = set(registry.tasks), files_of("tasks")
    assert files <= names
    assert {name.partition("_")[0] for name in names - files} <= files


def test_every_operator_is_registered_under_its_name() -> None:
    assert all(item.name == name for name, item in registry.ops.items())
    assert {"dense", "softmax", "normalise"} <= set(registry.ops)


def test_names_come_in_alphabetical_order(colours: Registry[Any]) -> None:
    for name in ("red", "blue", "green"):
        colours.add(name, name)
    assert list(colours) == ["blue", "green", "red"]
    assert len(colours) == 3
    assert "red" in colours
    assert "grey" not in colours


def test_a_duplicate_is_refused_and_names_both_homes(colours: Registry[Any]) -> None:
    item = colours.add("red", object())
    assert colours.add("red", item) is item
    with pytest.raises(BadInput, match=r"^duplicate colour 'red': got .* beside builtins; allowed: one definition a name; rename"):
        colours.add("red", Registry("other", None))


def test_an_unknown_name_lists_the_known_ones(colours: Registry[Any]) -> None:
    colours.add("red", 1)
    colours.add("blue", 2)
    with pytest.raises(BadInput, match=r"^unknown colour: got 'gr\\nay'; allowed: blue, red; see `edgeff list colours`$"):
        colours["gr\nay"]


def test_a_folder_of_plugins_is_imported_once(colours: Registry[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin_folder(tmp_path, {"a.py": PLUGIN.format(name="red", value=1), "b.py": PLUGIN.format(name="blue", value=[2])}, monkeypatch)
    assert dict(colours) == {"blue": [2], "red": 1}
    assert colours["blue"] is colours["blue"]
    assert sum(module.startswith(("edgeff_plugin_a_", "edgeff_plugin_b_")) for module in sys.modules) >= 2


def test_a_folder_with_an_init_is_one_plugin_with_its_kernels(
    colours: Registry[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"__init__.py": PLUGIN.format(name="red", value=1), "kernel.py": PLUGIN.format(name="blue", value=2)}
    plugin_folder(tmp_path / "paint", files, monkeypatch)
    plugin_folder(tmp_path / "_private", {"__init__.py": "1 / 0"}, monkeypatch)
    plugin_folder(tmp_path / "no_package", {"other.py": "1 / 0"}, monkeypatch)
    plugin_folder(tmp_path, {}, monkeypatch)
    assert dict(colours) == {"blue": 2, "red": 1}


def test_a_broken_kernel_of_a_plugin_folder_is_one_line_each_time(
    colours: Registry[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin_folder(tmp_path / "paint", {"__init__.py": "", "kernel.py": "1 / 0"}, monkeypatch)
    plugin_folder(tmp_path, {}, monkeypatch)
    with pytest.warns(PassedOver, match=r"^plugin folder .*paint: got ZeroDivisionError: division by zero; mend it"):
        len(colours)
    for _ in range(2):
        with pytest.raises(BadInput, match=r"^plugin folder .*paint: got ZeroDivisionError: division by zero; mend it"):
            _ = colours["green"]


def test_what_is_no_file_in_a_folder_of_plugins_is_passed_over(
    colours: Registry[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin_folder(tmp_path, {"whole.py": PLUGIN.format(name="blue", value=3)}, monkeypatch)
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "broken.py").symlink_to("nowhere.py")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "package").mkdir()
    os.mkfifo(tmp_path / "package" / "__init__.py")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the name of a socket must be short
        server.bind("socket.py")
        with pytest.warns(PassedOver) as reported:
            assert list(colours) == ["blue"]
    names = ("pipe.py", "loop.py", "broken.py", "folder.py", "package", "socket.py")
    assert len(reported) == len(names)
    assert all(any(f"{tmp_path / name}, which is no file" in str(each.message) for each in reported) for name in names)


def test_folders_are_joined_as_in_path(colours: Registry[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin_folder(tmp_path / "one", {"same.py": PLUGIN.format(name="red", value=1)}, monkeypatch)
    plugin_folder(tmp_path / "two", {"same.py": PLUGIN.format(name="blue", value=2)}, monkeypatch)
    monkeypatch.setenv("EDGEFF_PLUGIN_DIR", f"{tmp_path / 'one'}:{tmp_path / 'two'}")
    assert set(colours) == {"red", "blue"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("def (\n", "SyntaxError: "),
        ("import no_such_module_here\n", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        (PLUGIN.format(name="red", value=2), "duplicate colour 'red': got "),
        ("raise ValueError('two\\nlines')\n", r"ValueError: two\nlines"),
    ],
)
def test_a_broken_plugin_is_one_line_each_time(
    colours: Registry[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, found: str
) -> None:
    colours.add("red", object())
    plugin_folder(tmp_path, {"broken.py": text, "whole.py": PLUGIN.format(name="blue", value=3)}, monkeypatch)
    with pytest.warns(PassedOver, match=re.escape(f"plugin file {tmp_path / 'broken.py'}: got {found}")):
        assert set(colours) == {"red", "blue"}  # the others are loaded
    for _ in range(2):
        with pytest.raises(BadInput) as caught:
            _ = colours["green"]
        assert str(caught.value).startswith(f"plugin file {tmp_path / 'broken.py'}: got {found}")
        assert "\n" not in str(caught.value)


def test_a_folder_that_is_missing_is_refused(colours: Registry[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFF_PLUGIN_DIR", str(tmp_path / "none"))
    with pytest.raises(BadInput, match=r"^EDGEFF_PLUGIN_DIR: got '.*none'; allowed: folders that exist; correct or unset it$"):
        "red" in colours  # noqa: B015


def test_a_package_that_fails_fails_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shades").mkdir()
    (tmp_path / "shades" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "shades" / "grey.py").write_text("raise RuntimeError('no grey')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    found: Registry[Any] = Registry("shade", "shades")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no grey"):
            len(found)


def test_entry_points_are_loaded_and_a_broken_one_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tints").mkdir()
    (tmp_path / "tints" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "other_paint.py").write_text("loaded = True\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("EDGEFF_PLUGIN_DIR", raising=False)
    entries = [EntryPoint("paint", "other_paint", "tints")]
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(e for e in entries if e.group == group))
    assert list(Registry[Any]("tint", "tints")) == []
    assert sys.modules["other_paint"].loaded
    (tmp_path / "glossy").mkdir()
    (tmp_path / "glossy" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "glossy" / "kernel.py").write_text("", encoding="utf-8")
    entries.append(EntryPoint("glossy", "glossy", "tints"))
    assert list(Registry[Any]("tint", "tints")) == []
    assert "glossy.kernel" in sys.modules
    entries.append(EntryPoint("broken", "no_such_paint", "tints"))
    with pytest.raises(BadInput, match=r"^entry point 'broken' of tints, no_such_paint: got ModuleNotFoundError: .*; mend or remove"):
        len(Registry[Any]("tint", "tints"))
