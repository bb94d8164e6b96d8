"""The labels of a user's own data as classes, and the split into what trains and what tests.

Refused, in one line: a single class, a class with too few samples, labels that are no class of the model, groups that cannot be left out.
Said as a note: classes of unlike size, columns that do not vary, samples that are on both sides of the split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeff.errors import BadInput, doubt, short
from edgeff.ir import Array
from edgeff.tasks.own.options import AUTO, Options
from edgeff.tasks.own.tables import as_numbers

FEW_VALUES = 20
"""Up to this many different whole numbers are classes; more, or fractions, are values."""
MOST_CLASSES = 1000
UNLIKE = 10.0
"""How many times larger than the smallest the largest class may be without a note."""


def holds_values(labels: Array, options: Options) -> bool:
    """Whether the labels are values (a regression) rather than classes.

    >>> holds_values(np.array(["1.5", "2.25"]), Options()), holds_values(np.array([0, 1, 1]), Options())
    (True, False)
    """
    if options.kind != AUTO:
        return options.kind == "value"
    numbers = as_numbers(labels)
    return numbers is not None and (len(np.unique(numbers)) > FEW_VALUES or bool((numbers != np.rint(numbers)).any()))


def as_classes(labels: Array, named: Sequence[str], known: Sequence[str], what: str) -> tuple[Array, tuple[str, ...]]:
    """Labels (n,) int64 and the names of the classes.

    Args: ``named``, the names that the data give to the whole numbers 0, 1, ..; ``known``, the classes of a model, whose order counts
    (empty: the classes are those of the labels, numbers in their order, else words in theirs); ``what`` names the data in errors.
    """
    numbers = as_numbers(labels)
    if numbers is not None and (numbers == np.rint(numbers)).all():
        words = [str(int(number)) for number in numbers.tolist()]
        if named and all(0 <= number < len(named) for number in numbers.tolist()):
            words = [named[int(word)] for word in words]
        names = [str(value) for value in sorted({int(number) for number in numbers.tolist()})] if not named else [*named]
    else:
        words = [str(word) for word in labels.tolist()]
        names = sorted(set(words))
    if empty := [number for number, word in enumerate(words, 1) if not word]:
        raise BadInput(f"labels of {what}", got=f"none for sample {empty[0]}", allowed="one for each sample")
    classes = tuple(known) or tuple(names)
    if strange := sorted(set(words) - set(classes)):
        allowed = ", ".join(classes[:40])
        raise BadInput(f"labels of {what}", got=short(strange[0]), allowed=allowed, next_step="correct it, or train again with that class")
    if not known and not 2 <= len(set(words)) <= MOST_CLASSES:
        counted = f"one class, {short(words[0])}" if len(set(words)) < 2 else f"{len(set(words)):,} classes"
        step = (
            "add samples of another class"
            if len(set(words)) < 2
            else "name the column of the classes (--data target=NAME), or --data kind=value"
        )
        raise BadInput(f"labels of {what}", got=counted, allowed=f"2 to {MOST_CLASSES:,} classes", next_step=step)
    places = {name: index for index, name in enumerate(classes)}
    return np.array([places[word] for word in words], np.int64), classes


def as_values(labels: Array, what: str) -> Array:
    """Labels as values, (n, 1) float32. Raises BadInput for words, and where all are one number."""
    numbers = as_numbers(labels)
    if numbers is None or np.abs(numbers).max() > float(np.finfo(np.float32).max):
        raise BadInput(f"values of {what}", got="labels that are no finite numbers", allowed="numbers", next_step="--data kind=class")
    if (numbers == numbers[0]).all():
        raise BadInput(f"values of {what}", got=f"{numbers[0]:g} for every sample", allowed="at least two different numbers")
    return numbers.astype(np.float32)[:, None]


def split(labels: Array | None, groups: Array | None, count: int, options: Options, seed: int, what: str) -> Array:
    """Which of ``count`` samples test, (n,) bool: a share of each class, or of the groups, drawn by the seed.

    Args: ``labels`` (n,) int64, None for values. Raises BadInput where a part would be empty.
    """
    rng, test = np.random.default_rng([seed, 4]), np.zeros(count, bool)
    if options.leave and not options.groups:
        raise BadInput(f"setting leave of {what}", got=short(options.leave[0]), allowed="names of groups, beside groups=NAME")
    if groups is not None:
        names = sorted(set(groups.tolist()))
        if len(names) < 2:
            raise BadInput(f"groups of {what}", got=f"one group, {short(names[0])}", allowed="at least two, of which some test")
        if options.leave:
            if strange := [name for name in options.leave if name not in names]:
                raise BadInput(f"setting leave of {what}", got=short(strange[0]), allowed=", ".join(names[:40]))
            if len(set(options.leave)) == len(names):
                raise BadInput(f"setting leave of {what}", got="all groups", allowed="some of them, for the others train")
            return np.isin(groups, options.leave)
        held_out = rng.choice(names, min(max(round(options.test * len(names)), 1), len(names) - 1), replace=False)
        return np.isin(groups, held_out)
    for label in [None] if labels is None else np.unique(labels).tolist():
        mine = rng.permutation(np.arange(count) if labels is None else np.flatnonzero(labels == label))
        if len(mine) < 2:
            raise BadInput(
                what, got="one sample" if label is None else "a class with one sample", allowed="at least 2, one to train and one to test"
            )
        test[mine[: min(max(round(options.test * len(mine)), 1), len(mine) - 1)]] = True
    return test


def check_classes(labels: Array, test: Array, classes: Sequence[str], what: str) -> None:
    """Raises BadInput for a class without training samples; notes classes of unlike size."""
    counts = np.bincount(labels[~test], minlength=len(classes))
    for name, count in zip(classes, counts.tolist(), strict=True):
        if not count:
            step = "add samples, leave the class out, or choose the groups that test by another --seed"
            raise BadInput(f"class {short(name)} of {what}", got="no training sample", allowed="at least 1 of each class", next_step=step)
    largest, smallest = int(counts.argmax()), int(counts.argmin())
    if counts[largest] >= UNLIKE * counts[smallest]:
        share = counts[largest] / counts.sum()
        doubt(
            f"the classes are of unlike size: {short(classes[largest])} has {counts[largest]:,} training samples ({share:.1%}), "
            f"{short(classes[smallest])} {counts[smallest]:,}: an accuracy of {share:.1%} is none, so read the table of the classes"
        )


def check_inputs(x: Array, test: Array, columns: Sequence[str], what: str) -> None:
    """Notes columns that do not vary in training, and samples that are on both sides of the split. Raises BadInput if nothing varies."""
    train = x[~test]
    if (train == train[:1]).all():
        raise BadInput(what, got="the same inputs in every training sample", allowed="inputs that differ between samples")
    if x.ndim == 2 and columns:
        still = [name for name, same in zip(columns, (train == train[:1]).all(axis=0).tolist(), strict=True) if same]
        if still:
            doubt(f"the same number in all training samples, so it says nothing: column {', '.join(still[:10])}")
    known = {row.tobytes() for row in train}
    if twice := sum(row.tobytes() in known for row in x[test]):
        doubt(
            f"{twice:,} of {int(test.sum()):,} test samples are training samples too, so the test is easier than new data: remove doubles"
        )
