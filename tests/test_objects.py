"""Objects that were compiled before are taken again exactly when nothing that goes into them has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeff.device.toolchains.host import host_compiler
from edgeff.device.toolchains.objects import ObjectCache, ObjectFolder
from edgeff.errors import EdgeffError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "size.h").write_text("#define SIZE 3\n", encoding="utf-8")
    (tmp_path / "rate.h").write_text("#define RATE 5\n", encoding="utf-8")
    (tmp_path / "a.c").write_text('#include "rate.h"\n#include "model/size.h"\nint a(void) { return SIZE * RATE; }\n', encoding="utf-8")
    (tmp_path / "b.c").write_text("int b(void) { return 2; }\n", encoding="utf-8")
    return tmp_path


def compiled(cache: ObjectCache, project: Path, *flags: str) -> list[bytes]:
    with cache.objects([*host_compiler(), "-O1", *flags], [project / "a.c", project / "b.c"], project) as objects:
        assert [path.name for path in objects] == ["0_a.o", "1_b.o"]
        content = [path.read_bytes() for path in objects]
    assert not any(path.exists() for path in objects)
    return content


def test_an_object_is_taken_again(project: Path) -> None:
    cache = ObjectCache()
    first = compiled(cache, project)
    assert compiled(cache, project) == first
    assert cache.compilations == 2


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "compilations"),
    [
        (edit("a.c", "SIZE * RATE", "SIZE + RATE"), 1),
        (edit("rate.h", "5", "6"), 1),
        (edit("model/size.h", "3", "4"), 1),
        (edit("model/size.h", "3", '3\n#include "../b.c"'), 1),
        (lambda folder: (folder / "model" / "other.h").touch(), 0),
    ],
    ids=["source", "header", "header below", "another include", "a header that nobody includes"],
)
def test_a_change_is_compiled(project: Path, change: Callable[[Path], None], compilations: int) -> None:
    cache = ObjectCache()
    compiled(cache, project)
    change(project)
    after = compiled(cache, project)
    assert cache.compilations == 2 + compilations
    assert after == compiled(ObjectCache(), project)


def test_another_flag_is_compiled(project: Path) -> None:
    cache = ObjectCache()
    first = compiled(cache, project)
    assert compiled(cache, project, "-DSIZE_OF_MODEL=1", "-fno-inline", "-O0") != first
    assert cache.compilations == 4


def test_another_process_finds_the_object(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFF_CACHE_DIR", str(tmp_path / "cache"))
    first = compiled(ObjectCache(on_disk=True), project)
    cache = ObjectCache(on_disk=True)
    assert compiled(cache, project) == first
    assert cache.compilations == 0


def test_a_damaged_object_is_compiled(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFF_CACHE_DIR", str(tmp_path / "cache"))
    first = compiled(ObjectCache(on_disk=True), project)
    damaged, empty = (tmp_path / "cache" / "objects").iterdir()
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xa5")
    empty.write_bytes(b"")
    cache = ObjectCache(on_disk=True)
    assert compiled(cache, project) == first
    assert cache.compilations == 2


def test_a_cache_that_cannot_be_written_is_none(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    monkeypatch.setenv("EDGEFF_CACHE_DIR", str(tmp_path / "cache"))
    assert compiled(ObjectCache(on_disk=True), project) == compiled(ObjectCache(), project)


def test_another_version_of_the_compiler_compiles_anew(project: Path, tmp_path: Path) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text(f'#!/bin/sh\nexec {" ".join(host_compiler())} "$@"\n', encoding="utf-8")
    compiler.chmod(0o755)
    cache = ObjectCache()

    def compilations() -> int:
        with cache.objects([str(compiler)], [project / "a.c", project / "b.c"], project):
            return cache.compilations

    assert (compilations(), compilations()) == (2, 2)
    with compiler.open("a", encoding="utf-8") as file:
        file.write("# 2\n")
    assert compilations() == 4


def test_the_disk_keeps_what_was_used_last(tmp_path: Path) -> None:
    folder = ObjectFolder(tmp_path, most_bytes=3 * 132)
    for number in range(8):
        folder.put(str(number), bytes(100))
        os.utime(tmp_path / str(number), ns=(number, number))
    folder.put("8", bytes(100))
    kept = {path.name for path in tmp_path.iterdir()}
    assert "8" in kept
    assert "0" not in kept
    assert len(kept) <= 4


def test_the_object_unused_for_longest_goes_first(project: Path) -> None:
    sizes = [len(content) for content in compiled(ObjectCache(), project)]
    cache = ObjectCache(most_bytes=sum(sizes) - 1)
    compiled(cache, project)
    compiled(cache, project)
    assert cache.compilations > 2


def test_an_error_of_the_compiler_is_one_line(project: Path) -> None:
    (project / "b.c").write_text("int b(void) { return nothing; }\n", encoding="utf-8")
    with pytest.raises(EdgeffError, match=r"failed: got .*b\.c:1.*error: .*nothing"):
        compiled(ObjectCache(), project)


def test_a_source_that_includes_another_follows_its_changes(project: Path) -> None:
    """As a traced model includes the model's own C."""
    (project / "b.c").write_text('#include "a.c"\nint b(void) { return a(); }\n', encoding="utf-8")
    cache = ObjectCache()
    compiled(cache, project)
    edit("model/size.h", "3", "4")(project)
    assert compiled(cache, project) == compiled(ObjectCache(), project)
    assert cache.compilations == 4


def test_a_header_that_takes_the_place_of_another_is_seen(project: Path) -> None:
    (project / "b.c").write_text("#include <size.h>\nint b(void) { return SIZE; }\n", encoding="utf-8")
    (project / "size.h").write_text("#define SIZE 1\n", encoding="utf-8")
    cache = ObjectCache()
    first = compiled(cache, project)
    (project / "size.h").write_text("#define SIZE 9\n", encoding="utf-8")
    assert compiled(cache, project)[1] != first[1]


def test_of_the_kernels_header_only_what_a_source_names_counts(project: Path) -> None:
    """It has what a model's files define, so it differs from model to model."""
    header = """/* b is a kernel */
#ifndef EFF_KERNELS_H
#define EFF_KERNELS_H

typedef struct {
    int n; /* the number of all */
} eff_size;

typedef struct {
    eff_size rows;
} eff_matrix;

void eff_b(int *y, const eff_matrix *m);

#endif
"""
    (project / "eff_kernels.h").write_text(header, encoding="utf-8")
    (project / "b.c").write_text(
        '#include "eff_kernels.h"\nvoid eff_b(int *y, const eff_matrix *m) { *y = m->rows.n; }\n', encoding="utf-8"
    )
    cache = ObjectCache()
    compiled(cache, project)
    edit("eff_kernels.h", "void eff_b", "void eff_c(float *y,\n           int n);\n\nvoid eff_b")(project)
    compiled(cache, project)
    assert cache.compilations == 2
    edit("eff_kernels.h", "    int n;", "    short unused;\n    int n;")(project)
    assert compiled(cache, project) == compiled(ObjectCache(), project)
    assert cache.compilations == 3
    edit("eff_kernels.h", "#define EFF_KERNELS_H", "#define EFF_KERNELS_H 1")(project)
    compiled(cache, project)
    assert cache.compilations == 4
