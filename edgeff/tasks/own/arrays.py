"""An .npz as samples: ``x`` (n, ...) and ``y`` (n,), or ``x_train``, ``y_train``, ``x_test`` and ``y_test`` where it states its own split.

``y`` holds classes (strings or whole numbers) or values; ``classes`` (strings) may name the whole numbers 0, 1, .. of y; ``groups`` is an
array of the name that the settings give. uint8 inputs are pixels and are divided by 255; int16 clips of one axis are sounds where the rate
is given. Refused: pickled objects, other types, NaN and infinity, arrays of unlike lengths.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.tasks._files import DAMAGES, LARGEST_ARRAY_BYTES
from edgeff.tasks.own.options import Options
from edgeff.tasks.own.samples import Samples
from edgeff.tasks.own.sounds import of_clips

MOST_AXES = 3


def read_npz(path: Path, options: Options, remembered: Collection[str] = (), *, labelled: bool = True) -> Samples:
    """The samples of an .npz; ``labelled``: False for new data, which may have no labels. Raises BadInput.

    An array of groups that is among ``remembered``, the names from a model's file, may be missing.
    """
    arrays = _read(path)
    target = options.target or "y"
    if "x_train" in arrays and "x" not in arrays:
        parts = [("x_train", f"{target}_train"), ("x_test", f"{target}_test")]
        for names in parts:
            _need(path, arrays, *names)
        x = _joined(path, arrays, "x_train", "x_test")
        labels: Array | None = _joined(path, arrays, f"{target}_train", f"{target}_test")
        test = np.arange(len(x)) >= len(arrays["x_train"])
    else:
        _need(path, arrays, "x", *([target] if labelled else []))
        x, labels, test = arrays["x"], arrays.get(target), None
    if not x.ndim or not x.size:
        got = f"{x.dtype} of shape {x.shape}"
        raise BadInput(f"data file {path}, array 'x'", got=got, allowed="at least one sample of numbers, (n, ..)")
    labels = None if labels is None else _column(path, target, labels, len(x))
    groups = arrays.get(options.groups) if options.groups else None
    if options.groups and labelled and (options.groups in arrays or options.groups not in remembered):
        _need(path, arrays, options.groups)
        groups = _column(path, options.groups, arrays[options.groups], len(x)).astype(str)
    classes = tuple(map(str, arrays["classes"].reshape(-1).tolist())) if "classes" in arrays else ()
    if x.dtype.kind not in "fiub" or not 2 <= x.ndim <= 1 + MOST_AXES:
        allowed = (
            f"numbers of shape (n, ..) with up to {MOST_AXES} more axes: (n, features), (n, time, channels), (n, height, width, channels)"
        )
        raise BadInput(f"data file {path}, array 'x'", got=f"{x.dtype} of shape {x.shape}", allowed=allowed)
    if x.dtype == np.int16 and x.ndim == 2 and options.rate:
        return of_clips(x, labels, groups, test, classes, options, f"data file {path}")
    real = x.astype(np.float32)
    if bad := int(np.count_nonzero(~np.isfinite(real))):
        row = int(np.argwhere(~np.isfinite(real.reshape(len(real), -1)).all(axis=1))[0, 0])
        step = "correct them or remove the samples"
        what = f"data file {path}, array 'x'"
        raise BadInput(
            what, got=f"{bad} values that are NaN or infinite, the first in sample {row}", allowed="finite numbers", next_step=step
        )
    if x.dtype == np.uint8:
        return Samples(real / np.float32(255), labels, groups, test, classes=classes, inputs="pixels / 255")
    return Samples(real, labels, groups, test, classes=classes, numbers=True)


def _read(path: Path) -> dict[str, Array]:
    what, allowed = f"data file {path}", "an .npz file without pickled objects"
    try:
        with zipfile.ZipFile(path) as archive:
            size_bytes = sum(entry.file_size for entry in archive.infolist())
        if size_bytes <= LARGEST_ARRAY_BYTES:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: np.asarray(arrays[name]) for name in arrays.files}
    except DAMAGES as error:
        raise BadInput(what, got=str(error) or type(error).__name__, allowed=allowed) from None
    raise BadInput(what, got=f"{size_bytes:,} bytes of arrays", allowed=f"at most {LARGEST_ARRAY_BYTES:,}")


def _need(path: Path, arrays: dict[str, Array], *names: str) -> None:
    for name in names:
        if name not in arrays:
            allowed = "x and y, or x_train, y_train, x_test and y_test (another name for y: --data target=NAME)"
            raise BadInput(f"data file {path}", got=f"no array {name!r} among {', '.join(sorted(arrays)) or 'none'}", allowed=allowed)


def _joined(path: Path, arrays: dict[str, Array], first: str, second: str) -> Array:
    a, b = arrays[first], arrays[second]
    if not a.ndim or not b.ndim or a.shape[1:] != b.shape[1:] or a.dtype.kind != b.dtype.kind:
        raise BadInput(
            f"data file {path}", got=f"{first} {a.dtype} {a.shape}, {second} {b.dtype} {b.shape}", allowed="samples of one shape and type"
        )
    return np.concatenate([a, b])


def _column(path: Path, name: str, values: Array, count: int) -> Array:
    """One label or group for each of ``count`` samples, (n,)."""
    kinds: Any = "fiubU"
    flat = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    if flat.shape != (count, 1) or values.dtype.kind not in kinds:
        got = f"{values.dtype} of shape {values.shape}"
        raise BadInput(f"data file {path}, array {name!r}", got=got, allowed=f"({count},), one for each sample, of numbers or strings")
    if values.dtype.kind == "f" and len(bad := np.flatnonzero(~np.isfinite(flat[:, 0]))):
        step = "correct them or remove the samples"
        what = f"data file {path}, array {name!r}"
        raise BadInput(
            what, got=f"{len(bad)} values that are NaN or infinite, the first of sample {bad[0]}", allowed="finite numbers", next_step=step
        )
    return flat[:, 0]
