"""New inputs for a model, without labels: .npy, .npz and .csv, recordings and pictures, read as its training data were.

In go a path and what the model's file says of its data; out come the samples in the shape that the network reads. Refused: what does not
fit that shape, values that are no finite numbers, recordings for a model that does not say how its features are computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.ops import make
from edgeff.ops.mfcc import Mfcc, coefficients
from edgeff.tasks._audio import of_length
from edgeff.tasks._files import DAMAGES
from edgeff.tasks.own import pictures, sounds
from edgeff.tasks.own.arrays import read_npz
from edgeff.tasks.own.options import Options
from edgeff.tasks.own.tables import read_table

if TYPE_CHECKING:
    from edgeff.tasks.own import Known

SUFFIXES = (".npy", ".npz", ".csv", *sounds.SUFFIXES, *pictures.SUFFIXES)


def read_new(path: Path, known: Known | None, metadata: Mapping[str, Any], shape: tuple[int, ...]) -> Array:
    """The samples in the file at ``path``, (n, *shape) float32 with n >= 1.

    Args: ``known``, what the model says of its own data, None if it has none; ``metadata``, of the data it was trained on; ``shape``, that
    of the network's input. Raises BadInput; MissingTool where a library is needed.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES or not path.is_file():
        got = "no such file" if not path.exists() else f"the suffix {suffix}" if path.is_file() else "a folder"
        raise BadInput(f"input '{path}'", got=got, allowed=", ".join(SUFFIXES))
    options = known.options if known else Options()
    if suffix in sounds.SUFFIXES:
        x = _sound(path, options, metadata, shape)
    elif suffix in pictures.SUFFIXES:
        x = _picture(path, metadata, shape)
    elif suffix == ".csv":
        x = read_table(path, options, known.columns if known else (), labelled=False).x
    elif suffix == ".npz":
        x = read_npz(path, options, labelled=False).x
    else:
        x = _array(path)
    if prod(x.shape[1:]) != prod(shape):
        if x.size != prod(shape):
            raise BadInput(f"input '{path}'", got=f"samples of shape {x.shape[1:]}", allowed=f"{shape}, that of the model")
        x = x[None]  # an array of one sample
    return np.ascontiguousarray(x.reshape(-1, *shape), np.float32)


def _array(path: Path) -> Array:
    try:
        values = np.load(path, allow_pickle=False)
    except DAMAGES as error:
        raise BadInput(f"input '{path}'", got=str(error) or type(error).__name__, allowed="an .npy file without pickled objects") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub" or not values.size:
        raise BadInput(f"input '{path}'", got="no array of numbers", allowed="an .npy file of one sample, or of several")
    x = np.atleast_2d(values).astype(np.float32)
    if bad := int(np.count_nonzero(~np.isfinite(x))):
        raise BadInput(f"input '{path}'", got=f"{bad} values that are NaN or infinite", allowed="finite numbers")
    return x / np.float32(255) if values.dtype == np.uint8 else x


def _sound(path: Path, options: Options, metadata: Mapping[str, Any], shape: tuple[int, ...]) -> Array:
    features, count = metadata.get("features"), metadata.get("samples")
    plain = not isinstance(features, Mapping)
    if not plain and not isinstance(count, int):
        raise BadInput(f"input '{path}'", got="a recording, for a model that does not say how long a clip is", allowed="other inputs")
    if plain and (options.sound != "raw" or not options.rate):
        step = "train on a folder of recordings, or give the features in an .npz"
        raise BadInput(
            f"input '{path}'", got="a recording, for a model that does not say what it reads of it", allowed="arrays", next_step=step
        )
    recipe = None if not isinstance(features, Mapping) else make(Mfcc, features)
    rate = recipe.rate if recipe else options.rate
    samples, own = sounds.read_sound(path)
    if not options.convert and (own != rate or samples.shape[1] > 1):
        got = f"{samples.shape[1]} channels at {own} Hz"
        raise BadInput(f"recording {path}", got=got, allowed=f"1 channel at {rate} Hz, as the model's", next_step="convert it")
    clip = of_length(sounds.one_channel(samples, own, rate), int(count) if isinstance(count, int) else prod(shape))[None]
    return coefficients(clip, recipe) if recipe else clip.astype(np.float32) / np.float32(32768)


def _picture(path: Path, metadata: Mapping[str, Any], shape: tuple[int, ...]) -> Array:
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise BadInput(f"input '{path}'", got="a picture", allowed=f"an input of shape {shape}")
    x = pictures.read_picture(path, (shape[0], shape[1], shape[2]))[None].astype(np.float32)
    span = metadata.get("range")
    as_they_are = isinstance(span, list) and len(span) == 2 and isinstance(span[1], int | float) and span[1] > 1.5
    return x if as_they_are else x / np.float32(255)
