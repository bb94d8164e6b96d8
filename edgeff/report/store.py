"""The results of single configurations on disk, one file per name, so that an interrupted comparison is resumed where it stopped.

Each file is a ``report.json`` of one run with the ``identity`` of its inputs beside it. A file that cannot be read, or has another
identity, counts as missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeff.atomic import write_text
from edgeff.errors import BadInput
from edgeff.ir import Trace
from edgeff.report.record import Versions, read_content, to_json

Identity = Mapping[str, str]


@dataclass(frozen=True)
class Store:
    """The results in ``folder``, made with the given versions."""

    folder: Path
    versions: Versions

    def save(self, name: str, identity: Identity, trace: Trace) -> None:
        """Writes one result, atomically. Raises BadInput if it cannot be written."""
        file = self.folder / f"{name}.json"
        content = json.dumps(to_json([trace], self.versions), allow_nan=False)
        try:
            write_text(file, f"{_head(identity)}{content[1:]}")
        except OSError as error:
            raise BadInput(f"result {file}", got=error.strerror or str(error), allowed="a file that can be written") from None

    def missing(self, name: str, identity: Identity) -> str | None:
        """None for a result that is there with this identity; else why it does not count, empty if nothing was saved.

        Only the head is read, so that a thousand results are looked through in a moment: ``load`` may still refuse one.
        """
        file, head = self.folder / f"{name}.json", _head(identity).encode()
        try:
            with file.open("rb") as stream:
                return None if stream.read(len(head)) == head else f"{file} is of another configuration, other settings or another version"
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{file} cannot be read ({error.strerror or error})"

    def load(self, name: str) -> Trace:
        """A saved trace. Raises BadInput for a file that holds none."""
        file = self.folder / f"{name}.json"
        try:
            (trace,) = read_content(json.loads(file.read_bytes()), str(file)).runs
        except (OSError, ValueError) as error:
            raise BadInput(f"result {file}", got=str(error), allowed="one run", next_step="remove it") from None
        return trace


def _head(identity: Identity) -> str:
    """The beginning of a result's file: its identity, to be followed by the members of its report."""
    return f"{json.dumps({'identity': dict(identity)})[:-1]}, "
