"""Compiles C files one by one, on every core, and keeps the objects: a file that was compiled before is not compiled again.

A sweep over rules, numerics or boards builds one model after another from the same kernels; most of its time was their compilation. Objects
are kept in this process and in the cache folder (``resources.cache_folder``), where the next command finds them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from edgeff.device.toolchains.protocol import run
from edgeff.kernels.header import KERNELS_HEADER
from edgeff.resources import cache_folder

MOST_BYTES, MOST_BYTES_ON_DISK = 64 * 2**20, 256 * 2**20
"""Bytes of objects that are kept at most, in this process and on the disk; those unused for longest go first."""

_DIGEST_BYTES = 32
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*")
_DECLARED = re.compile(r"^[A-Za-z_][\w ]*[ *](\w+)\([^;{}]*\);|\}\s*(\w+);\s*$", re.MULTILINE)


class ObjectFolder:
    """Objects on the disk, each behind the SHA-256 of its bytes; one that is damaged, or that cannot be read or written, is compiled.

    >>> with tempfile.TemporaryDirectory() as path:
    ...     folder = ObjectFolder(Path(path))
    ...     folder.put("key", b"object")
    ...     folder.get("key"), folder.get("other")
    (b'object', None)
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES_ON_DISK) -> None:
        self.path, self.most_bytes = path, most_bytes
        self._until_pruned = 0

    def get(self, key: str) -> bytes | None:
        """The object of a key, which counts as used now; None if there is none."""
        file = self.path / key
        try:
            content = file.read_bytes()
            os.utime(file)
        except OSError:
            return None
        digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return content if hashlib.sha256(content).digest() == digest else None

    def put(self, key: str, content: bytes) -> None:
        """Keeps an object, where the folder can be written."""
        with suppress(OSError):
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.path, delete=False) as temporary:
                temporary.write(hashlib.sha256(content).digest() + content)
            Path(temporary.name).replace(self.path / key)
            self._until_pruned -= len(content)
            if self._until_pruned < 0:
                self._prune()
                self._until_pruned = self.most_bytes // 8

    def _prune(self) -> None:
        """Removes what was not used for longest, down to the limit."""
        files = sorted(((entry.stat().st_mtime_ns, entry.stat().st_size, entry.path) for entry in os.scandir(self.path)), reverse=True)
        total = 0
        for _, size, name in files:
            total += size
            if total > self.most_bytes:
                Path(name).unlink(missing_ok=True)


class ObjectCache:
    """Objects by what went into them; ``on_disk``: also in the cache folder."""

    def __init__(self, most_bytes: int = MOST_BYTES, *, on_disk: bool = False) -> None:
        self.most_bytes, self._on_disk = most_bytes, on_disk
        self.compilations = 0
        self._objects: OrderedDict[str, bytes] = OrderedDict()
        self._folders: dict[Path, ObjectFolder] = {}
        self._lock = Lock()

    @contextmanager
    def objects(self, command: Sequence[str], sources: Sequence[Path], include: Path) -> Iterator[list[Path]]:
        """The objects of ``sources`` in their order, in a folder that lasts as long as the block.

        ``command`` is the compiler with its flags, without files; it finds the headers of ``include``. An object is taken from an earlier
        call when the command, the compiler's program, the source and every file that it includes are the same, of the kernels' header what
        it names; the compiler's own headers do not count. Raises MissingTool and EdgeffError as the compiler's run does.
        """
        with tempfile.TemporaryDirectory(prefix="edgeff-objects-") as temporary:
            folder, told = Path(temporary), [*map(_told, command)]

            def compiled(number: int, source: Path) -> Path:
                target = folder / f"{number}_{source.stem}.o"
                key = _key(told, source, include)
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
                return self._objects[key]
        content = self._folder().get(key) if self._on_disk else None
        if content is not None:
            self._keep(key, content)
        return content

    def _put(self, key: str, content: bytes) -> None:
        with self._lock:
            self.compilations += 1
        self._keep(key, content)
        if self._on_disk:
            self._folder().put(key, content)

    def _keep(self, key: str, content: bytes) -> None:
        with self._lock:
            self._objects[key] = content
            while sum(map(len, self._objects.values())) > self.most_bytes:
                self._objects.popitem(last=False)

    def _folder(self) -> ObjectFolder:
        path = cache_folder() / "objects"
        with self._lock:
            return self._folders.setdefault(path, ObjectFolder(path))


CACHE = ObjectCache(on_disk=True)
"""That of this process."""


def _key(told: Sequence[str], source: Path, include: Path) -> str:
    """A hash of all that an object is made of; ``told``, what is known of the command."""
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
    parts += [*told, source.name]
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def _told(word: str) -> str:
    """A word of the command; a program with its size and its time, so that another version of a compiler compiles anew."""
    program = shutil.which(word) if not word.startswith("-") else None
    if program is None:
        return word
    about = Path(program).resolve().stat()
    return f"{word} {about.st_size} {about.st_mtime_ns}"


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
