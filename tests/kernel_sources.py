"""The C of every kernel of edgeff, as a folder that compiles by itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgeff.codegen.folder import kernel_files, kernels_header, shared_headers
from edgeff.codegen.source import RUNTIME
from edgeff.kernels import own_sources
from edgeff.kernels.header import KERNELS_HEADER


def write_kernels(folder: Path) -> list[str]:
    """The names of the C files of every kernel, written into a new folder with the headers they include."""
    folder.mkdir()
    sources = kernel_files(own_sources())
    for name, path in {**sources, **shared_headers(sources.values())}.items():
        shutil.copyfile(path, folder / name)
    (folder / KERNELS_HEADER).write_text(kernels_header(folder), encoding="utf-8")
    return sorted(sources)


def model_sources(folder: Path) -> list[Path]:
    """The C files of an exported model in ``folder``: its own and those of its state, without kernels and example."""
    return [path for name in ("model.c", *RUNTIME) if (path := folder / name).suffix == ".c" and path.exists()]
