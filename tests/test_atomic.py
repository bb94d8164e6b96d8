"""Outputs appear whole or not at all: whatever call fails, wherever the process ends, there is the old file or folder, or the new one."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edgeff import atomic
from edgeff.atomic import new_file, new_folder, write_text

ROOT = Path(__file__).resolve().parents[1]
CALLS = ("fsync", "replace", "rename", "link", "open", "chmod", "close", "mkdir")
"""What reaches the disk by ``os``; each of them may fail."""
OLD = {"model.h": "old", "eff_old.c": "old", "mine/notes.txt": "mine", "example/main.c": "old"}
NEW = {"model.h": "new", "eff_new.c": "new", "example/main.c": "new"}
AFTER = {**NEW, "mine/notes.txt": "mine"}


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file()}


def is_old(path: Path) -> bool:
    return path.name.startswith("eff_")


def export(folder: Path) -> None:
    with new_folder(folder, is_old) as fresh:
        fill(fresh, NEW)


class FailsAt:
    """Counts calls of the functions of ``os`` that reach the disk; the n-th one ends in ``error``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, n: int, error: BaseException) -> None:
        self.calls, self.n, self.error = 0, n, error
        for name in CALLS:
            monkeypatch.setattr(os, name, self.counted(getattr(os, name)))

    def counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.n:
                raise self.error
            return real(*arguments, **options)

        return call


def failing(n: int, error: BaseException, work: Callable[[], None]) -> bool:
    """Whether ``work`` was done when its n-th call failed: that it makes fewer, or that the call is of no consequence."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        fails = FailsAt(monkeypatch, n, error)
        with suppress(OSError, KeyboardInterrupt):
            work()
    return fails.calls < n


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_folder_is_the_old_one_or_the_new_one_whatever_call_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(atomic, "_exchanged", lambda _a, _b: False)
    results = []
    for n in range(1, 200):
        folder = tmp_path / str(n)
        fill(folder, OLD)
        done = failing(n, error, lambda folder=folder: export(folder))  # type: ignore[misc]
        results.append(content(folder))
        left_over = [path.name for path in tmp_path.iterdir() if not path.name.isdigit()]
        assert not left_over or results[-1] == AFTER  # only the removal of the old folder may fail halfway
        for name in left_over:
            shutil.rmtree(tmp_path / name)
        if done:
            break
    assert results[-1] == AFTER
    assert all(result in (OLD, AFTER) for result in results)
    assert OLD in results
    assert len(results) > 20


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_file_is_the_old_one_or_the_new_one_whatever_call_fails(tmp_path: Path, error: BaseException) -> None:
    results, path = [], tmp_path / "m.onnx"
    for n in range(1, 50):
        path.write_text("old", encoding="utf-8")
        done = failing(n, error, lambda: write_text(path, "new"))
        results.append(path.read_text(encoding="utf-8"))
        assert [entry.name for entry in tmp_path.iterdir()] == ["m.onnx"]
        if done:
            break
    assert results[0] == "old"
    assert results[-1] == "new"
    assert set(results) == {"old", "new"}


CUT = """
import os, sys
from pathlib import Path
from edgeff.atomic import new_folder
n, calls = int(sys.argv[1]), 0
def counted(real):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == n:
            os._exit(9)  # as if the power were cut
        return real(*arguments, **options)
    return call
for name in ("fsync", "replace", "rename", "link", "open", "chmod", "close", "mkdir", "unlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
with new_folder(Path("c"), lambda path: path.name.startswith("eff_")) as fresh:
    for name in ("model.h", "eff_new.c", "example/main.c"):
        (fresh / name).parent.mkdir(exist_ok=True)
        (fresh / name).write_text("new")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two folders in one step")
def test_a_cut_of_the_power_leaves_the_old_folder_or_the_new_one(tmp_path: Path) -> None:
    results: list[dict[str, str]] = []
    status = 9
    while status:
        here = tmp_path / str(len(results))
        fill(here / "c", OLD)
        command = [sys.executable, "-c", CUT, str(len(results) * 3 + 1)]  # every third call
        status = subprocess.run(command, cwd=here, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode
        assert status in (0, 9)
        results.append(content(here / "c"))
    assert results[-1] == AFTER
    assert all(result in (OLD, AFTER) for result in results)
    assert len(results) > 10


def test_what_fails_leaves_nothing_and_no_new_parents(tmp_path: Path) -> None:
    def work() -> None:
        with new_folder(tmp_path / "a" / "b" / "c") as fresh:
            (fresh / "x").write_text("x", encoding="utf-8")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert list(tmp_path.iterdir()) == []


def test_two_outputs_of_one_process_in_one_folder_do_not_meet(tmp_path: Path) -> None:
    with (
        new_file(tmp_path / "a.json") as a,
        new_file(tmp_path / "b.json") as b,
        new_folder(tmp_path / "c") as c,
        new_folder(tmp_path / "d"),
    ):
        assert a != b
        a.write_text("a", encoding="utf-8")
        b.write_text("b", encoding="utf-8")
        (c / "x").write_text("x", encoding="utf-8")
    assert content(tmp_path) == {"a.json": "a", "b.json": "b", "c/x": "x"}


def test_the_rights_are_those_of_any_new_file(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "x")
        export(tmp_path / "folder")
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "folder", "folder/model.h")]
    finally:
        os.umask(mask)
    assert modes == [0o640, 0o750, 0o640]


def test_links_pipes_and_empty_places_of_an_old_folder_stay(tmp_path: Path) -> None:
    fill(tmp_path / "c", OLD)
    (tmp_path / "c" / "link").symlink_to("mine")
    (tmp_path / "c" / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "c" / "pipe")
    export(tmp_path / "c")
    assert (tmp_path / "c" / "link").readlink() == Path("mine")
    assert (tmp_path / "c" / "loop").is_symlink()
    assert stat.S_ISFIFO((tmp_path / "c" / "pipe").stat().st_mode)
    assert (tmp_path / "c" / "link" / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_the_working_directory_stays_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "c", OLD)
    monkeypatch.chdir(tmp_path / "c")
    export(Path())
    assert Path.cwd() == tmp_path / "c"
    assert content(Path.cwd()) == AFTER
    assert list(tmp_path.iterdir()) == [tmp_path / "c"]


def test_a_linked_folder_is_replaced_where_it_is(tmp_path: Path) -> None:
    fill(tmp_path / "real", OLD)
    (tmp_path / "c").symlink_to("real")
    export(tmp_path / "c")
    assert (tmp_path / "c").is_symlink()
    assert content(tmp_path / "real") == AFTER
