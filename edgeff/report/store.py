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
        try:
            write_text(file, json.dumps({"identity": dict(identity), **to_json([trace], self.versions)}, allow_nan=False))
        except OSError as error:
            raise BadInput(f"result {file}", got=error.strerror or str(error), allowed="a file that can be written") from None

    def find(self, name: str, identity: Identity) -> Trace | str:
        """The saved trace; or why there is none that counts, empty if nothing was saved."""
        file = self.folder / f"{name}.json"
        try:
            content = json.loads(file.read_bytes())
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            return f"{file} cannot be read ({error})"
        if not isinstance(content, dict) or content.get("identity") != dict(identity):
            return f"{file} is of another configuration, other settings or another version"
        try:
            (trace,) = read_content(content, str(file)).runs
        except (BadInput, ValueError) as error:
            return str(error)
        return trace
