"""``python -m edgeff``: the command line, for where the ``edgeff`` script is not on the PATH."""

from __future__ import annotations

from edgeff.cli import main

if __name__ == "__main__":
    main()
