"""Others' code in folders of the user, which environment variables name; nothing of it is in this repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def checkout(variable: str, file: str, next_step: str) -> Path:
    """The folder with ``file`` that an environment variable names. Ends the program where there is none."""
    folder = Path(os.environ.get(variable, ""))
    if not os.environ.get(variable) or not (folder / file).is_file():
        sys.exit(f"{variable} names no folder with {file}: {next_step}")
    return folder.resolve()


def version(folder: Path) -> str:
    """What git says of the checkout."""
    done = subprocess.run(["git", "describe", "--tags", "--always"], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
