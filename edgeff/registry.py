"""Discovery of everything that can be added as one file: rules, kernels, operators, tasks, networks, cores and targets.

A thing registers itself when its module is imported. Modules come from edgeff's own packages, from the entry points of installed
distributions (groups ``edgeff.rules``, ``edgeff.kernels``, ``edgeff.ops``, ``edgeff.tasks``, ``edgeff.networks``, ``edgeff.cores``,
``edgeff.targets``) and from the folders named in ``EDGEFF_PLUGIN_DIR`` (as in ``PATH``), whose every ``*.py`` and every folder with an
``__init__.py`` is imported once: an operator outside the package is a folder like one inside it. One that fails is reported, and the
others are loaded. A name registered twice by different objects is refused.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from edgeff.errors import BadInput, EdgeffError, pass_over

T = TypeVar("T")


class Duplicate(BadInput):
    """A name that two different objects want: ``kind`` and ``name`` say which."""

    kind = name = ""


class Registry(Mapping[str, T], Generic[T]):
    """The registered things of one kind by name, in alphabetical order; looking it up imports what has not been imported yet.

    >>> colours: Registry[int] = Registry("colour", package=None)
    >>> _ = colours.add("red", 1)
    >>> colours["red"]
    1
    """

    def __init__(self, kind: str, package: str | None, others: tuple[str, ...] = (), group: str | None = None) -> None:
        self.kind, self.package, self.others, self.group = kind, package, others, group or package or ""
        self._items: dict[str, T] = {}
        self._loaded = package is None
        self._folders = ""
        self._failed: list[BadInput] = []

    def add(self, name: str, item: T) -> T:
        """``item``, now registered as ``name``. Raises BadInput when another object holds the name."""
        known = self._items.get(name)
        if known is not None and known is not item:
            error = Duplicate(
                f"duplicate {self.kind} {name!r}",
                got=f"{_home(item)} beside {_home(known)}",
                allowed="one definition a name",
                next_step="rename one of the two",
            )
            error.kind, error.name = self.kind, name
            raise error
        self._items[name] = item
        return item

    def _load(self) -> None:
        if not self._loaded and self.package is not None:
            self._loaded = True  # from the start: what is imported may look things up itself
            try:
                for name in (self.package, *self.others):
                    _import(name)
                for group in (self.group, *self.others):
                    self._import_distributions(group)
            except BaseException:
                self._loaded = False
                raise
        folders = os.environ.get("EDGEFF_PLUGIN_DIR", "")
        if folders != self._folders:
            for folder in filter(None, folders.split(os.pathsep)):
                if not Path(folder).is_dir():
                    raise BadInput("EDGEFF_PLUGIN_DIR", got=repr(folder), allowed="folders that exist", next_step="correct or unset it")
            self._failed = [error for folder in filter(None, folders.split(os.pathsep)) for error in load_plugins(Path(folder))]
            self._folders = folders

    def _import_distributions(self, group: str) -> None:
        """Imports what other distributions declare in the entry point group ``group``."""
        for entry in entry_points(group=group):
            try:
                _import_kernels(entry.load())
            except Exception as error:
                what = f"entry point {entry.name!r} of {group}, {entry.value}"
                raise BadInput(what, got=f"{type(error).__name__}: {error}", next_step="mend or remove that distribution") from error

    def __getitem__(self, name: str) -> T:
        self._load()
        for error in self._failed:
            wanted = error.__cause__
            if isinstance(wanted, Duplicate) and (wanted.kind, wanted.name) == (self.kind, name):
                raise error  # which of the two is meant is not for us to say
        try:
            return self._items[name]
        except KeyError:
            if self._failed:  # one of them may be what was asked for
                raise self._failed[0] from None
            raise BadInput(
                f"unknown {self.kind}", got=repr(name), allowed=", ".join(self), next_step=f"see `edgeff list {self.kind}s`"
            ) from None

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._items))

    def __len__(self) -> int:
        self._load()
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._items


def _import(name: str) -> None:
    """Imports every public module of the package ``name``, with the kernels of those that are packages themselves."""
    package = importlib.import_module(name)
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            _import_kernels(importlib.import_module(f"{name}.{module.name}"))


def _import_kernels(module: object) -> None:
    """Imports the module ``kernel`` of a package that has one."""
    if any(inner.name == "kernel" for inner in pkgutil.iter_modules(getattr(module, "__path__", ()))):
        importlib.import_module(f"{module.__name__}.kernel")  # type: ignore[attr-defined]


def _home(item: object) -> str:
    """Where an object was defined: the module of a function or class, else of the object's type."""
    return str(getattr(item, "__module__", type(item).__module__))


def load_plugins(folder: Path) -> list[BadInput]:
    """Imports every plug-in of ``folder``. Returns the errors of those that fail, each of which is reported; the others are loaded."""
    failed = []
    for path in _plugins(folder.resolve()):
        try:
            load_plugin(path)
        except BadInput as error:
            pass_over(error)
            failed.append(error)
    return failed


def _plugins(folder: Path) -> list[Path]:
    """What ``folder`` holds to import: Python files, and folders that are packages."""
    packages = (path.parent for path in folder.glob("[!_.]*/__init__.py"))
    return sorted((*folder.glob("*.py"), *packages))


def load_plugin(path: Path) -> None:
    """Imports one file or package outside edgeff, once a process, under a name made from its path. Raises BadInput, naming it, when it
    fails.
    """
    name = f"edgeff_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    package = path.is_dir()
    if not (path / "__init__.py" if package else path).is_file():  # a pipe would be waited for
        raise BadInput("plugin file", got=f"{path}, which is no file", allowed="Python files and packages")
    file, inside = (path / "__init__.py", [str(path)]) if package else (path, None)
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=inside)
    if spec is None or spec.loader is None:
        raise BadInput("plugin file", got=str(path), allowed="a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        _import_kernels(module)
    except Exception as error:
        for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
            del sys.modules[loaded]
        found = str(error) if isinstance(error, EdgeffError) else f"{type(error).__name__}: {error}"
        what = f"plugin {'folder' if package else 'file'} {path}"
        raise BadInput(what, got=found, next_step="mend it or leave EDGEFF_PLUGIN_DIR unset") from error


rules: Registry[Any] = Registry("rule", "edgeff.rules")
kernels: Registry[Any] = Registry("kernel", "edgeff.kernels", ("edgeff.ops", "edgeff.rules.words"))
ops: Registry[Any] = Registry("operator", "edgeff.ops")
tasks: Registry[Any] = Registry("task", "edgeff.tasks")
networks: Registry[Any] = Registry("network", "edgeff.networks")
cores: Registry[Any] = Registry("core", "edgeff.device.cores", group="edgeff.cores")
targets: Registry[Any] = Registry("target", "edgeff.device.targets", group="edgeff.targets")
