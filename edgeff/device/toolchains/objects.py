"""Compiles C files one by one, on every core, and keeps the objects: a file that this process compiled before is not compiled again.

A sweep over rules, numerics or boards builds one model after another from the same kernels; most of its time was their compilation.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from edgeff.device.toolchains.protocol import run
from edgeff.kernels.header import KERNELS_HEADER

MOST_BYTES = 64 * 2**20
"""Bytes of objects that are kept at most; the one unused for longest goes first."""

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*")
_DECLARED = re.compile(r"^[A-Za-z_][\w ]*[ *](\w+)\([^;{}]*\);|\}\s*(\w+);\s*$", re.MULTILINE)


class ObjectCache:
    """Objects by what went into them."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.compilations = 0
        self._objects: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def objects(self, command: Sequence[str], sources: Sequence[Path], include: Path) -> Iterator[list[Path]]:
        """The objects of ``sources`` in their order, in a folder that lasts as long as the block.

        ``command`` is the compiler with its flags, without files; it finds the headers of ``include``. An object is taken from an earlier
        call when the command, the source and every file that it includes are the same, of the kernels' header what it names; files of the
        compiler's own do not count. Raises MissingTool and EdgeffError as the compiler's run does.
        """
        with tempfile.TemporaryDirectory(prefix="edgeff-objects-") as temporary:
            folder = Path(temporary)

            def compiled(number: int, source: Path) -> Path:
                target = folder / f"{number}_{source.stem}.o"
                key = _key(command, source, include)
                content = self._get(key)
                if content is None:
                    run([*command, f"-I{include.resolve()}", "-c", str(source.resolve()), "-o", str(target)], folder)
                    self._put(key, target.read_bytes())
                else:
                    target.write_bytes(content)
                return target

            with ThreadPoolExecutor(os.cpu_count()) as pool:
                yield list(pool.map(compiled, range(len(sources)), sources))

    def _get(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._objects:
                self._objects.move_to_end(key)
            return self._objects.get(key)

    def _put(self, key: str, content: bytes) -> None:
        with self._lock:
            self.compilations += 1
            self._objects[key] = content
            while sum(map(len, self._objects.values())) > self.most_bytes:
                self._objects.popitem(last=False)


CACHE = ObjectCache()
"""That of this process."""


def _key(command: Sequence[str], source: Path, include: Path) -> str:
    """A hash of all that an object is made of."""
    texts: dict[Path, str] = {}
    waiting = [source]
    while waiting:
        path = waiting.pop().resolve()
        if path in texts:
            continue
        texts[path] = path.read_text(encoding="utf-8", errors="surrogateescape")
        for quoted, bracketed in _INCLUDE.findall(texts[path]):
            folders = (path.parent, include) if quoted else (include,)
            places = [folder / (quoted or bracketed) for folder in folders]
            waiting += [place for place in places if place.is_file()][:1]
    names = {name for path, text in texts.items() if path.name != KERNELS_HEADER for name in _NAME.findall(text)}
    parts = [_declarations(text, names) if path.name == KERNELS_HEADER else text for path, text in texts.items()]
    parts += [*command, source.name]
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def _declarations(header: str, names: set[str]) -> str:
    """The paragraphs of the kernels' header that declare one of ``names`` or what those mention, and those that declare nothing.

    The header has what a model's files define, so it differs from model to model; a declaration that nobody names changes no object.
    """
    paragraphs = _COMMENT.sub("", header).split("\n\n")
    declared = [match[1] or match[2] if (match := _DECLARED.search(text)) else None for text in paragraphs]
    kept: set[int] = set()
    while more := {i for i, name in enumerate(declared) if i not in kept and (name is None or name in names)}:
        kept |= more
        names = names.union(*(_NAME.findall(paragraphs[i]) for i in more))
    return "\n\n".join(paragraphs[i] for i in sorted(kept))
