"""Pictures from files, through Pillow."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput, MissingTool, one_line
from edgeff.ir import Array

MOST_PIXELS = 1 << 26


def squeezed(path: Path, size: tuple[int, int, int], *, allowed: str, how_to_get: str, next_step: str = "") -> Array:
    """A picture squeezed to (height, width, channels) uint8; one channel is grey, three are RGB.

    Raises MissingTool without Pillow, BadInput for a file that is no whole picture and for one of more than ``MOST_PIXELS``. ``allowed``,
    ``how_to_get`` and ``next_step`` are words of the two.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingTool("Pillow is not installed", next_step=how_to_get) from None
    height, width, channels = size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as Pillow's of pictures so large that they may be an attack
            with Image.open(path) as picture:
                full = picture.size
                if full[0] * full[1] <= MOST_PIXELS:
                    plain = picture.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BILINEAR)
                    return np.asarray(plain, np.uint8).reshape(size)
    except Exception as error:  # noqa: BLE001 - what a damaged picture makes Pillow raise has no common class
        got = one_line(str(error), 120) or type(error).__name__
        raise BadInput(f"picture {path}", got=got, allowed=allowed, next_step=next_step) from None
    raise BadInput(f"picture {path}", got=f"{full[0]}x{full[1]}", allowed=f"at most {MOST_PIXELS:,} pixels")
