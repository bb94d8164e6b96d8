"""A folder of one folder a class with pictures, as samples: each squeezed to one size, its pixels / 255.

Read are PNG, JPEG, BMP and PPM through Pillow. Refused: files that are no pictures, truncated ones, pictures of more than 2^26 pixels,
more pictures than fit in memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput, MissingTool, one_line
from edgeff.ir import Array
from edgeff.tasks.own.options import Options
from edgeff.tasks.own.samples import Samples

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm")
MOST_PIXELS = 1 << 26
LARGEST_BYTES = 1 << 32
"""Of all pictures together, float32."""


def read_pictures(files: Sequence[tuple[Path, str]], options: Options) -> Samples:
    """The samples of pictures (path, class)."""
    size_bytes = 4 * len(files) * prod(options.picture)
    if size_bytes > LARGEST_BYTES:
        step = "choose a smaller size: --data picture=32x32x3"
        raise BadInput(
            "the pictures", got=f"{len(files):,} of {prod(options.picture):,} numbers", allowed=f"{LARGEST_BYTES:,} bytes", next_step=step
        )
    x = np.stack([read_picture(path, options.picture) for path, _ in files])
    height, width, channels = options.picture
    inputs = f"pixels / 255 of pictures squeezed to {height}x{width}, {'grey' if channels == 1 else 'RGB'}"
    return Samples(np.divide(x, 255, dtype=np.float32), np.array([name for _, name in files]), inputs=inputs)


def read_picture(path: Path, size: tuple[int, int, int]) -> Array:
    """A picture as (height, width, channels) uint8; MissingTool without Pillow, BadInput for a file that is no whole picture."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingTool("Pillow is not installed", next_step="pip install pillow (edgeff[data])") from None
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
        raise BadInput(
            f"picture {path}", got=got, allowed=f"a whole picture, {', '.join(SUFFIXES)}", next_step="replace or remove it"
        ) from None
    raise BadInput(f"picture {path}", got=f"{full[0]}x{full[1]}", allowed=f"at most {MOST_PIXELS:,} pixels")
