"""How a user's own data are read: the settings that ``--data key=value`` gives, and that a model's file keeps for later commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from edgeff.errors import BadInput

AUTO = "auto"
MOST_SIDE = 1024
MOST_SECONDS = 60.0


@dataclass(frozen=True)
class Options:
    """The settings of a data set that is no registered task.

    - ``target``: the column (.csv) or array (.npz) to learn; empty for the usual names (``y``; in a .csv also ``label``, ``class``,
      ``target``).
    - ``groups``: the column or array that names what a sample belongs to (a person, a machine, a day); whole groups test.
    - ``leave``: the groups that test; empty: drawn by the seed.
    - ``drop``: columns of a .csv that are not read.
    - ``kind``: ``class``, ``value``, or ``auto``: numbers of many values are values, everything else is classes.
    - ``test``: the share of the samples, or of the groups, that test.
    - ``standardise``: ``yes``, ``no``, or ``auto``: yes for the numbers of .csv and .npz, no for pictures and sounds.
    - ``sound``: ``mfcc`` or ``raw``; ``rate`` in Hz (0: that of the recordings); ``seconds`` of a clip; ``convert``: recordings
      at another rate are resampled, and channels averaged.
    - ``picture``: (height, width, channels), channels 1 (grey) or 3.
    """

    target: str = ""
    groups: str = ""
    leave: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    kind: str = AUTO
    test: float = 0.2
    standardise: str = AUTO
    sound: str = "mfcc"
    rate: int = 0
    seconds: float = 1.0
    convert: bool = False
    picture: tuple[int, int, int] = (32, 32, 3)

    def changed(self, texts: Mapping[str, str]) -> Options:
        """These settings with some of them given as text. Raises BadInput for one that is unknown or not allowed.

        >>> Options().changed({"target": "kind", "picture": "24x32x1"}).picture
        (24, 32, 1)
        """
        parsed: dict[str, Any] = {}
        for name, text in texts.items():
            if name not in _PARSERS:
                raise BadInput("unknown setting of your own data", got=repr(name), allowed=", ".join(_PARSERS))
            parse, allowed = _PARSERS[name]
            try:
                parsed[name] = parse(text.strip())
            except ValueError:
                raise BadInput(f"setting {name} of your own data", got=repr(text), allowed=allowed) from None
        return replace(self, **parsed)

    def to_json(self) -> dict[str, Any]:
        """The settings that are not the default, as a model's file holds them."""
        plain = Options()
        return {name: value for name, value in asdict(self).items() if value != getattr(plain, name)}

    @classmethod
    def from_json(cls, values: object) -> Options:
        """The settings in a model's file, which may hold anything: what is not a setting, or has another type, is left at its default."""
        known = values if isinstance(values, Mapping) else {}
        texts = {item.name: _text(known[item.name]) for item in fields(cls) if item.name in known}
        options = cls()
        for name, text in texts.items():
            try:
                options = options.changed({name: text})
            except BadInput:
                continue
        return options


def _text(value: object) -> str:
    """A setting as ``changed`` reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        whole = all(isinstance(part, int) for part in value)
        return ("x" if whole else ",").join(map(str, value))
    return str(value)


def _word(*words: str) -> tuple[Callable[[str], str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return parse, ", ".join(words)


def _within(kind: type, low: float, high: float, allowed: str) -> tuple[Callable[[str], Any], str]:
    def parse(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return parse, allowed


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"


def _picture(text: str) -> tuple[int, int, int]:
    sizes = [int(part) for part in text.split("x")]
    height, width, channels = (*sizes, 3) if len(sizes) == 2 else sizes
    if not (1 <= height <= MOST_SIDE and 1 <= width <= MOST_SIDE and channels in (1, 3)):
        raise ValueError(text)
    return height, width, channels


_PARSERS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "target": (str, "the name of a column or array"),
    "groups": (str, "the name of a column or array"),
    "leave": (_names, "names of groups, joined by commas"),
    "drop": (_names, "names of columns, joined by commas"),
    "kind": _word(AUTO, "class", "value"),
    "test": _within(float, 0.01, 0.9, "0.01 to 0.9"),
    "standardise": _word(AUTO, "yes", "no"),
    "sound": _word("mfcc", "raw"),
    "rate": _within(int, 1000, 192_000, "1000 to 192000 Hz"),
    "seconds": _within(float, 0.02, MOST_SECONDS, f"0.02 to {MOST_SECONDS:g} s"),
    "convert": (_yes, "yes, no"),
    "picture": (_picture, f"height x width x channels such as 32x32x3: 1 to {MOST_SIDE} pixels, 1 or 3 channels"),
}
