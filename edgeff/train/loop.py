"""Host training: rule + network + task -> trained network, fast (BLAS, batches), reproducible by its seed.

The optimiser and the schedule are the same for every rule (``edgeff.train.optimisers``); a rule only gives directions. A run whose
weights stop being finite, or grow a thousandfold, ends in ``Diverged`` with the rule's hint at the cause. BLAS gets one thread: the cores
work on slices of a batch instead (``edgeff.ops.parallel``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from edgeff import registry
from edgeff.errors import BadInput, Diverged, doubt
from edgeff.ir import Array, Network
from edgeff.networks import initialised, normalised, reproduces_input
from edgeff.ops import parameters, with_parameters
from edgeff.ops.parallel import recycling
from edgeff.rules import Rule, Run, Settings, find_rule
from edgeff.rules._rates import resolved
from edgeff.tasks import Data, Task
from edgeff.train.checkpoints import Checkpoints
from edgeff.train.guards import SAMPLES, below_on_others, doubts, scale_of_inputs
from edgeff.train.optimisers import OPTIMISERS

WATCHED = 256
MOST_SAMPLES_BYTES = 1 << 28
RETRY_FACTOR = 0.25
"""What a retry after a divergence makes of the rate."""
Progress = Callable[[int, int], None]
Augment = Callable[[Array, np.random.Generator], Array]


@dataclass(frozen=True)
class Trained:
    """A trained network and its run (for the rule's own way of predicting).

    ``history``: the accuracy on the first 256 training samples after each epoch, or the mean squared error of an autoencoder or of values.
    ``doubts``: what was warned of, a sentence each.
    """

    network: Network
    run: Run
    rule: Rule
    history: tuple[float, ...]
    doubts: tuple[str, ...] = ()

    def scores(self, x: Array) -> Array:
        """The scores of the classes (n, C) for inputs x (n, *input shape)."""
        with threadpool_limits(1, "blas"):
            return in_batches(self.rule, self.run, x)


def accuracy(scores: Array, labels: Array) -> float:
    """The share of rows whose largest score (the first of equals) is at the label."""
    return float(np.mean(scores.argmax(axis=1) == labels))


def _watched(scores: Array, targets: Array, *, classes: bool) -> float:
    return accuracy(scores, targets.argmax(axis=1)) if classes else float(np.mean((scores - targets) ** 2))


def in_batches(rule: Rule, run: Run, x: Array) -> Array:
    """The scores (n, C) of x (n, *input shape), a few samples at a time: large sets of images need no more memory than small ones."""
    samples = max(MOST_SAMPLES_BYTES // max(sum(prod(layer.shape) for layer in run.network) * 4, 1), 1)
    if len(x) <= samples:
        return rule.scores(run, x)
    return np.concatenate([rule.scores(run, x[first : first + samples]) for first in range(0, len(x), samples)])


def start(network: Network, rule: Rule, settings: Settings, seed: int) -> Run:
    """A run at its first step: float32 parameters copied from ``network``, the rule's own state set up from ``seed``."""
    run = Run(network, parameters(network), settings, np.random.default_rng([seed, 2]), seed)
    rule.start(run)
    for name, value in run.extra.items():
        if isinstance(value, np.ndarray):
            run.extra[name] = value.astype(np.float32)
    return run


def require_inputs(network: Network, x: Array) -> None:
    """Raises BadInput where x (n, ...) has not the shape of the inputs of ``network``."""
    if tuple(x.shape[1:]) != tuple(network.input_shape):
        raise BadInput(
            "network input",
            got=f"{network.input_shape}",
            allowed=f"the task's {tuple(x.shape[1:])}",
            next_step="choose a network that fits the task",
        )


def fit(
    network: Network,
    rule_name: str,
    x: Array,
    targets: Array,
    settings: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
    augment: Augment | None = None,
    watch: Callable[[Run], None] | None = None,
    values: bool = False,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Trains initialised ``network`` on x (n, *input shape) float32 and targets (n, C), or x itself as the target of an autoencoder.

    Args: ``settings``, by default the rule's for the host; ``seed``, for the order of samples, masks and feedback; ``progress(epoch,
    epochs)`` is called after each epoch; ``augment(x, rng)`` changes the samples of each mini-batch; ``watch(run)`` is called after
    each epoch; ``values``: the targets are numbers, not classes; ``checkpoints``: what is kept after each epoch, from which an
    interrupted run goes on.
    Raises: Diverged; BadInput for shapes that do not match.
    """
    rule = find_rule(rule_name)
    settings = settings or rule.settings
    require_inputs(network, x)
    if targets.shape[1:] != network.layers[-1].shape:
        raise BadInput(
            "network output",
            got=f"{network.layers[-1].shape}",
            allowed=f"the task's {targets.shape[1:]}",
            next_step="choose a network that fits the task",
        )
    if settings.dropout and not rule.drops_out:
        raise BadInput(
            f"setting dropout of rule {rule_name}", got=settings.dropout, allowed=0.0, next_step="set it to 0, or use rule pepita"
        )
    settings = resolved(rule, settings, network, x)
    run = start(network, rule, settings, seed)
    largest = {layer.name: float(np.abs(run.params[layer.name]["weight"]).max()) or 1.0 for layer in network.trainable}
    optimiser = OPTIMISERS[settings.optimiser](run)
    begun = checkpoints.begin(run, optimiser, rule, x, targets) if checkpoints else 0
    history = [row[2] for row in checkpoints.rows] if checkpoints else []
    with np.errstate(over="ignore", invalid="ignore"), threadpool_limits(1, "blas"):
        for epoch in range(begun, settings.epochs):
            run.epoch, run.lr = epoch, settings.rate(epoch)
            rule.begin_epoch(run, x, targets)
            order = run.rng.permutation(len(x))
            with recycling():
                for first in range(0, len(order), settings.batch):
                    index = order[first : first + settings.batch]
                    samples = augment(x[index], run.rng) if augment else x[index]
                    optimiser.apply(rule.step(run, samples, targets[index]), run.lr)
            for name, at_start in largest.items():
                now = float(np.abs(run.params[name]["weight"]).max())
                if not now <= 1000.0 * at_start:
                    raise Diverged(
                        f"training with {rule_name} diverged in epoch {epoch + 1}, layer {name!r}",
                        got=f"largest weight {now:.3g}",
                        next_step=rule.divergence_hint,
                    )
            history.append(_watched(in_batches(rule, run, x[:WATCHED]), targets[:WATCHED], classes=targets is not x and not values))
            if checkpoints:
                checkpoints.keep(run, optimiser, history[-1])
            if watch:
                watch(run)
            if progress:
                progress(epoch + 1, settings.epochs)
        rule.finished(run, x, targets)
    return Trained(with_parameters(network, run.params), run, rule, tuple(history))


def train(
    data: Data,
    structure: Network,
    rule_name: str,
    settings: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
    task: Task | str = "",
    augment: Augment | None = None,
    retries: int = 0,
    guarded: bool = True,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """``fit`` on a task's training part from fresh parameters; the network's metadata records the run.

    With no epochs these are fresh parameters ``normalised`` on the training part, for a device that learns from the beginning.
    Warns (``edgeff.errors.Doubtful``) before a rule trains what it is not known to, and of a run that ended at chance or below the frozen
    control, with the likely cause; both are in ``doubts`` of the result.

    Args: ``task``, the data's task or its registered name: it defines what the network learns to output and how samples are augmented,
    unless ``augment`` is given; ``retries``, how often a run that diverges is started again at a quarter of its rate; ``guarded``, False
    for a trial of a search, of which nothing is warned; ``checkpoints`` as for ``fit``, without ``retries``. Raises BadInput for data
    without a training part; Diverged.
    """
    rule = find_rule(rule_name)
    settings = settings or rule.settings
    item: Task | None = task if isinstance(task, Task) else registry.tasks[task] if task in registry.tasks else None  # noqa: SIM401
    task = item.name if item is not None else str(task)
    if not len(data.x_train):
        why = str(data.metadata.get("training", "none"))
        raise BadInput(f"training on {task}", got=f"no training part ({why})", allowed="a task with samples to train on")
    reproduces, values = item is not None and item.target == "input", item is not None and item.target == "value"
    if values and not rule.values:
        allowed = ", ".join(name for name, other in registry.rules.items() if other.values)
        raise BadInput(f"rule {rule_name}", got=f"numbers to learn ({task})", allowed=f"classes; numbers are learned by {allowed}")
    if reproduces and not reproduces_input(structure):
        raise BadInput(
            "network", got=structure.name, allowed="an autoencoder: as many outputs as inputs, no softmax", next_step="use fc_ae"
        )
    network = rule.prepare(initialised(structure, seed), settings, seed)
    settings = resolved(rule, settings, network, data.x_train)
    if not settings.epochs:
        require_inputs(network, data.x_train)
        network, guarded = normalised(network, data.x_train), False
    said: list[str] = []

    def say(text: str) -> None:
        if text and guarded:
            said.append(text)
            doubt(text)

    say(rule.caution(network))
    say(scale_of_inputs(data.x_train))
    augment = augment or (item.augment if item is not None else None)
    targets = data.x_train if reproduces else data.targets(data.y_train)
    for left in range(retries, -1, -1):
        network = replace(network, metadata=_metadata(data, task, rule_name, settings, seed))
        try:
            trained = fit(
                network, rule_name, data.x_train, targets, settings, seed, progress, augment, values=values, checkpoints=checkpoints
            )
            break
        except Diverged as error:
            if not left:
                raise
            settings = replace(settings, lr=float(f"{RETRY_FACTOR * settings.lr:.2g}"))
            say(f"{error}; begun again at a rate of {settings.lr:.2g}")
    if guarded and not reproduces and not values:
        chosen = np.random.default_rng([seed, 6]).permutation(len(targets))[:SAMPLES]
        x, t = data.x_train[chosen], targets[chosen]
        for text in doubts(rule, network, trained.run, x, t, trained.scores(x)) if rule.name != "frozen" else ():
            say(text)
    return replace(trained, doubts=tuple(said))


def doubts_of_test(trained: Trained, data: Data) -> tuple[str, ...]:
    """What to say of a run that is below the frozen control on the test part of ``data``, warned of too; nothing where all is well.

    For those who read the test part anyway, once, to tell the accuracy: ``train`` reads training samples alone, on which a rule that
    learned them by heart is above the control. Nothing is said of values, of autoencoders, and of a run already in ``doubts``.
    """
    if trained.doubts or trained.rule.name == "frozen" or not len(data.x_test) or np.asarray(data.y_test).ndim > 1 or not data.classes:
        return ()
    if trained.network.layers[-1].shape != (len(data.classes),):
        return ()
    seed = trained.run.seed
    chosen = np.random.default_rng([seed, 6]).permutation(len(data.x_train))[:SAMPLES]
    tried = np.random.default_rng([seed, 9]).permutation(len(data.x_test))[:SAMPLES]
    x, t, x_other = data.x_train[chosen], data.targets(data.y_train[chosen]), data.x_test[tried]
    others = x_other, data.y_test[tried], trained.scores(x_other)
    texts = below_on_others(trained.rule, trained.run.network, trained.run, x, t, others)
    for text in texts:
        doubt(text)
    return tuple(texts)


def _metadata(data: Data, task: str, rule_name: str, settings: Any, seed: int) -> dict[str, Any]:
    """What a trained network's file says of its run."""
    return {
        "task": task,
        "rule": rule_name,
        "settings": asdict(settings),
        "seed": seed,
        "classes": list(data.classes),
        "data": dict(data.metadata),
    }
