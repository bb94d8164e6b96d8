"""Settings chosen on a validation part of the training data, by one search for every rule.

In come a task's data, a network and a rule. Candidates are the rule's settings as they are and points around them: each setting of
``Settings.searched`` times a factor, drawn evenly by its logarithm (a Halton sequence of the seed). They go through successive halving
(scikit-learn's ``HalvingGridSearchCV``; Jamieson & Talwalkar 2016): all with a ninth of the epochs, the best third with a third, the
best ninth with all. So every rule has the same count of candidates and of epochs, whatever its settings. A trial is a whole run with its
schedule squeezed into its epochs; a run that diverges is the worst. The test part is not read.

Validation parts are drawn from the training samples, class by class; where the test part is of other subjects or of later months than the
training part, they are of whole subjects or months too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from edgeff.bench.metrics import measured
from edgeff.errors import BadInput, Diverged
from edgeff.ir import Array, Network
from edgeff.networks import initialised, recipe
from edgeff.rules import find_rule
from edgeff.rules._rates import resolved
from edgeff.tasks import Data, Task
from edgeff.train.loop import train

FACTOR, SHARES = 3, (1, 3, 9)
"""Of candidates one in ``FACTOR`` goes on; the epochs of each round, in ninths."""
FEWEST_CANDIDATES = FACTOR ** (len(SHARES) - 1)
VALIDATION = 0.2
WORST = -1e30
"""The score of a run that diverged."""

Settings = Mapping[str, Any]
Tried = MutableMapping[str, float | None]
"""What trials reached in the task's metric, None for one that diverged, by ``trial_name``."""
Progress = Callable[[int], None]
Run = Callable[[Data, Any, int], float | None]


@dataclass(frozen=True)
class Search:
    """What all rules of one search have in common: the budget, the validation parts, and the seed of everything random."""

    epochs: int = 15
    candidates: int = 16
    splits: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.candidates < FEWEST_CANDIDATES:
            raise BadInput("candidates of a search", got=self.candidates, allowed=f"{FEWEST_CANDIDATES} or more")

    @property
    def rounds(self) -> tuple[tuple[int, int], ...]:
        """(candidates, epochs) of each round.

        >>> Search().rounds, Search().budget_epochs
        (((16, 2), (6, 5), (2, 15)), 276)
        """
        return tuple((ceil(self.candidates / FACTOR**number), self.epochs_of(share)) for number, share in enumerate(SHARES))

    @property
    def budget_epochs(self) -> int:
        """The epochs that the search of one rule trains for."""
        return self.splits * sum(count * epochs for count, epochs in self.rounds)

    def epochs_of(self, share: int) -> int:
        """The epochs of a trial with ``share`` ninths of all."""
        return max(1, round(self.epochs * share / SHARES[-1]))


@dataclass(frozen=True)
class Choice:
    """The settings that a search chose for ``rule``: ``changes`` from the rule's own, ``value`` in ``metric`` on validation samples."""

    rule: str
    changes: Settings
    start: Settings
    metric: str
    value: float

    @property
    def settings(self) -> Any:
        """The rule's settings with the changes."""
        return replace(find_rule(self.rule).settings, **self.changes)

    def how(self, search: Search) -> dict[str, Any]:
        """How the settings were chosen, for a row of results."""
        return {
            "by": "search on validation samples",
            "candidates": search.candidates,
            "budget_epochs": search.budget_epochs,
            "splits": search.splits,
            "seed": search.seed,
            f"validation_{self.metric}": self.value,
            "settings": dict(self.changes),
        }


def validation_metric(task: Task) -> str:
    """The metric of validation samples: the task's, but for an autoencoder its error, for its training samples are of one kind."""
    return "mse" if task.target == "input" else task.metric


def validation_parts(data: Data, search: Search, *, classes: bool = True) -> Iterator[tuple[Array, Array]]:
    """The numbers of the training samples to train on and to validate on, a pair a split. Raises BadInput for data too small for it."""
    from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, StratifiedShuffleSplit

    options: dict[str, Any] = {"n_splits": search.splits, "test_size": VALIDATION, "random_state": search.seed}
    try:
        if data.groups_train is not None:
            yield from GroupShuffleSplit(**options).split(data.y_train, groups=data.groups_train)
        elif classes:
            yield from StratifiedShuffleSplit(**options).split(data.y_train, data.y_train)
        else:
            yield from ShuffleSplit(**options).split(data.y_train)
    except ValueError as error:
        allowed = "enough samples of each class, or subjects, for a part of a fifth"
        raise BadInput("validation part of the training data", got=str(error), allowed=allowed) from None


def starting_settings(data: Data, network: Network, name: str, rule_name: str, search: Search, fixed: Settings | None = None) -> Any:
    """The settings of the first candidate: the rule's, with the network's recipe, its rate and the epochs of the search.

    Args: ``network``, its structure; ``name``, as it is registered; ``fixed``, settings that no candidate changes. Raises BadInput or
    Unsupported if the rule cannot train it.
    """
    rule = find_rule(rule_name)
    settings = replace(rule.settings, **recipe(name, rule_name) | dict(fixed or {}))
    prepared = rule.prepare(initialised(network, search.seed), settings, search.seed)
    return squeezed(replace(settings, lr=resolved(rule, settings, prepared, data.x_train).lr), search.epochs)


def squeezed(settings: Any, epochs: int) -> Any:
    """``settings`` for a run of ``epochs``, whose rate falls at the same shares of it."""
    at = settings.decay_epochs
    return replace(settings, epochs=epochs, decay_epochs=at and tuple(round(e * epochs / settings.epochs) for e in at))


def candidates(start: Any, search: Search) -> list[dict[str, float]]:
    """The settings that each candidate changes: first those of ``start``, then points around them."""
    from scipy.stats.qmc import Halton

    factors = start.searched
    names = [*factors]
    centre = {name: float(getattr(start, name)) for name in names}
    points = Halton(len(names), seed=np.random.default_rng([search.seed, 8])).random(search.candidates - 1)
    around = [{name: float(f"{centre[name] * factors[name] ** (2 * u - 1):.3g}") for name, u in zip(names, p, strict=True)} for p in points]
    return [centre, *around]


def trial_name(rule: str, changes: Settings, epochs: int, split: int) -> str:
    """The name by which a trial is known.

    >>> trial_name("bp", {"lr": 0.1}, 5, 0)
    'bp lr=0.1 epochs=5 split=0'
    """
    return f"{rule} {' '.join(f'{name}={value:g}' for name, value in changes.items())} epochs={epochs} split={split}"


def choose(
    data: Data,
    network: Network,
    name: str,
    rule: str,
    search: Search,
    task: Task,
    tried: Tried | None = None,
    progress: Progress = lambda _epochs: None,
    fixed: Settings | None = None,
    run: Run | None = None,
) -> Choice:
    """The settings of ``rule`` that are best on validation samples of ``data``, whose test part is not read.

    Args: ``network``, the structure; ``name``, as it is registered; ``task``, the data's; ``tried``, trials that are not run again, to
    which each new one is added as it ends; ``progress(epochs)``, called with the epochs of each trial that ends; ``fixed``, settings that
    no candidate changes; ``run(data, settings, seed)``, what a run reaches on the test part of its data, None if it diverges: by default
    ``reached``. Raises: BadInput and Unsupported as training does; Diverged if the best candidates do in a full run.
    """
    tried = {} if tried is None else tried
    data.need("train")
    metric = validation_metric(task)
    start = starting_settings(data, network, name, rule, search, fixed)
    points = candidates(start, search)
    parts = [data.validation(*part) for part in validation_parts(data, search, classes=metric != "mse")]
    run = run or (lambda part, settings, seed: reached(part, network, rule, settings, seed, task, metric))

    def score(number: int, share: int, split: int) -> float:
        epochs = search.epochs_of(share)
        trial = trial_name(rule, points[number], epochs, split)
        if trial not in tried:
            settings = squeezed(replace(start, **points[number]), epochs)
            tried[trial] = run(parts[split], settings, search.seed + split)
        progress(epochs)
        value = tried[trial]
        return WORST if value is None else -value if metric == "mse" else value

    best = halved(search, score)
    values = [tried[trial_name(rule, points[best], search.epochs, split)] for split in range(search.splits)]
    if None in values:
        raise Diverged(f"the best candidates of rule {rule} diverge in a full run", next_step=find_rule(rule).divergence_hint)
    decays = {} if start.decay_epochs is None else {"decay_epochs": start.decay_epochs}
    changes = {**recipe(name, rule), **(fixed or {}), **points[best], "epochs": search.epochs, **decays}
    return Choice(rule, changes, points[0], metric, float(np.mean([value for value in values if value is not None])))


def reached(data: Data, network: Network, rule: str, settings: Any, seed: int, task: Task, metric: str) -> float | None:
    """What a run reaches on ``data``'s test part in ``metric``; None if it diverges."""
    try:
        trained = train(data, network, rule, settings, seed, task=task, guarded=False)
    except Diverged:
        return None
    value = measured(metric, trained.network, data.x_test, trained.scores(data.x_test), data.y_test, data.files_test)
    return value if np.isfinite(value) else None


def halved(search: Search, score: Callable[[int, int, int], float]) -> int:
    """The number of the best candidate, by successive halving of ``score(candidate, ninths of the epochs, split)``."""
    from sklearn.base import BaseEstimator
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (what it enables is still called experimental)
    from sklearn.model_selection import HalvingGridSearchCV

    class Candidate(BaseEstimator):
        """One candidate. Its samples are the numbers of the splits: ``fit`` and ``score`` both get one."""

        def __init__(self, number: int = 0, share: int = 1) -> None:
            self.number, self.share = number, share

        def fit(self, _splits: Array, _y: None = None) -> Candidate:
            return self

        def score(self, splits: Array, _y: None = None) -> float:
            return score(self.number, self.share, int(splits[0, 0]))

    halving = HalvingGridSearchCV(
        Candidate(),
        {"number": [*range(search.candidates)]},
        resource="share",
        min_resources=SHARES[0],
        max_resources=SHARES[-1],
        factor=FACTOR,
        cv=[([split], [split]) for split in range(search.splits)],
        refit=False,
        error_score="raise",
        return_train_score=False,
        random_state=search.seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        halving.fit(np.arange(search.splits)[:, None])
    return int(halving.cv_results_["param_number"][halving.best_index_])
