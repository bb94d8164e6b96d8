"""A folder of one folder a class with pictures, as samples: each squeezed to one size, its pixels / 255.

Read are PNG, JPEG, BMP and PPM through Pillow. Refused: files that are no pictures, truncated ones, pictures of more than 2^26 pixels,
more pictures than fit in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array
from edgeff.tasks._pictures import squeezed
from edgeff.tasks.own.options import Options
from edgeff.tasks.own.samples import Samples

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm")
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
    allowed = f"a whole picture, {', '.join(SUFFIXES)}"
    return squeezed(path, size, allowed=allowed, how_to_get="pip install pillow (edgeff[data])", next_step="replace or remove it")
