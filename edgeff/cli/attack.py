"""``edgeff attack``: how many answers of a model stay right when an adversary moves its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeff.cli.models import Model, find_task, load_model, load_task, split_seed
from edgeff.cli.options import OneOf, OutputFile, ParameterType, Whole, common, target_column
from edgeff.cli.outputs import new_file
from edgeff.cli.terminal import percent, print_json, print_line, print_table, stages
from edgeff.errors import BadInput, CheckFailed, Unsupported

if TYPE_CHECKING:
    from edgeff.ir import Array
    from edgeff.studies.attack import Attack
    from edgeff.tasks import Data

BOTH = "both"
LOSSES = ("cross-entropy", "margin")
"""The losses of ``edgeff.studies.attack``, which is not imported here because it needs numpy."""


class Shares(ParameterType):
    """Numbers above 0 and at most 1, joined by commas, as a tuple."""

    name = "share,.."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            shares = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            shares = ()
        if not shares or not all(0 < share <= 1 for share in shares):
            what = param.opts[0] if param is not None else ""
            raise BadInput(f"option {what}", got=repr(value), allowed="shares above 0 and at most 1, such as 0.05,0.1")
        return tuple(sorted(set(shares)))


@click.command("attack", epilog="Example: edgeff attack bp.onnx pepita.onnx digits --transfer 0.1 -o attack.html")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.argument("task")
@click.option("--epsilons", type=Shares(), default="0.01,0.02,0.05,0.1,0.2,0.3", show_default=True, help="Shares of the inputs' range.")
@click.option("--loss", type=OneOf("loss", (BOTH, *LOSSES)), default=BOTH, show_default=True, help="Both: the worst of the two.")
@click.option("--steps", type=Whole(1, 10_000), default=20, show_default=True, help="Steps of PGD.")
@click.option("--start", type=OneOf("start", ("random", "centre")), default="random", show_default=True, help="Where PGD starts.")
@click.option("--samples", type=Whole(1, 1_000_000), default=1000, show_default=True, help="The most test samples, drawn by the seed.")
@click.option("--transfer", type=Shares(), help="Also test the examples made on each model at these epsilons on the others.")
@target_column
@click.option("-o", "--out", type=OutputFile(".html"), help="The page with the picture to write.")
@common
def command(
    models: Sequence[str],
    task: str,
    epsilons: tuple[float, ...],
    loss: str,
    steps: int,
    start: str,
    samples: int,
    transfer: tuple[float, ...] | None,
    choices: Mapping[str, str],
    out: Path | None,
    as_json: bool,
    seed: int | None,
) -> None:
    """Measure float models under FGSM and PGD (L-infinity), with gradients in float64 that are checked by finite differences.

    Each sample counts under the worst of the losses. Exit status 1 if the check of a gradient fails.
    """
    from edgeff.studies.attack import Attack, Attacked, Carried, Run, Settings, sweep
    from edgeff.studies.attack import transfer as carry

    if transfer and len(models) < 2:
        raise BadInput("option --transfer", got="one model", allowed="two or more")
    settings = Settings(epsilons, LOSSES if loss == BOTH else (loss,), steps, start == "random", seed or 0)
    loaded = {name: load_model(path) for name, path in _names(models).items()}
    attacked: dict[str, Attacked] = {}
    parts: dict[str, tuple[Array, Array]] = {}
    spans: dict[str, tuple[float, float]] = {}
    for name, model in loaded.items():
        item = find_task(task, choices, model)
        data = load_task(item, split_seed(model, item, seed), model.network)
        data.need("test")
        attacked[name], spans[name], parts[name] = _attacked(name, model), _range(task, data), _drawn(data, samples, settings.seed)
    span, *more = set(spans.values())
    if more:
        step = "train them with one seed, or choose the split with --seed"
        raise BadInput(f"attacking on {task}", got="splits with different input ranges", allowed="one range", next_step=step)
    if transfer:
        _need_shared(parts)
    runs: list[Run] = []
    carried: list[Carried] = []
    with stages() as report:
        for name, model in loaded.items():
            result = sweep(attacked[name], *parts[name], span, settings, partial(report, f"attacking {name}"))
            runs.append(Run(name, model.rule, model.seed, result))
        for index, (source, made_on) in enumerate(attacked.items()):
            others = {name: other for name, other in attacked.items() if name != source}
            for eps in transfer or ():
                report("testing examples on other models", index, len(attacked))
                answered = carry(made_on, others, *parts[source], eps, span, settings)
                carried += [Carried(source, victim, eps, *shares) for victim, shares in answered.items()]
    attack = Attack(task, span, settings, tuple(runs), tuple(carried))
    if out is not None:
        _write(attack, out)
    if as_json:
        print_json(attack.to_json() | {"page": None if out is None else str(out)})
    else:
        _print(attack)
        if out is not None:
            print_line(f"wrote {out}")
    if not attack.ok:
        failed = ", ".join(run.model for run in attack.runs if not run.sweep.check.ok)
        raise CheckFailed("the float64 gradient against finite differences", got=f"a difference in {failed}", allowed="none")


def _names(models: Sequence[str]) -> dict[str, str]:
    """The name of each file: its stem, or its path if others have the same stem. Raises BadInput for a file named twice."""
    if len(set(models)) < len(models):
        raise BadInput("models to attack", got="a file named twice", allowed="different files")
    stems = [Path(path).stem for path in models]
    return {path if stems.count(stem) > 1 else stem: path for path, stem in zip(models, stems, strict=True)}


def _attacked(name: str, model: Model) -> Any:
    from edgeff.studies.attack import Attacked

    if model.probes:
        step = "attack a model that predicts by its last layer"
        raise Unsupported(f"attacking {name}", got=f"the prediction of {model.rule}, which has no gradient", next_step=step)
    return Attacked(model.network)


def _range(task: str, data: Data) -> tuple[float, float]:
    """The range of valid inputs, as stated by the task's data."""
    try:
        low, high = map(float, data.metadata["range"])
    except (KeyError, TypeError, ValueError):
        raise Unsupported(f"attacking on {task}", got="inputs without a range", allowed="a task whose inputs have one") from None
    return low, high


def _drawn(data: Data, samples: int, seed: int) -> tuple[Array, Array]:
    """At most ``samples`` test samples and their labels, in their order, since the first ones may be easier than the rest."""
    import numpy as np

    chosen = np.arange(len(data.x_test))
    if len(chosen) > samples:
        chosen = np.sort(np.random.default_rng([seed, 6]).choice(chosen, samples, replace=False))
    return data.x_test[chosen], data.y_test[chosen]


def _need_shared(parts: Mapping[str, tuple[Array, Array]]) -> None:
    """Raises BadInput if models are not measured on the same samples because they split the data by different seeds."""
    import numpy as np

    (first, _), *others = parts.values()
    if not all(np.array_equal(x, first) for x, _ in others):
        step = "train them with one seed, or choose the split with --seed"
        raise BadInput("option --transfer", got="models whose test samples differ", allowed="the same test samples", next_step=step)


def _write(attack: Attack, out: Path) -> None:
    from edgeff.report import installed_versions
    from edgeff.report.html.attack import attack_page

    with new_file(out) as path:
        path.write_text(attack_page(attack, installed_versions()), encoding="utf-8", newline="\n")


def _print(attack: Attack) -> None:
    losses, (low, high) = attack.settings.losses, attack.span
    climbed = f"{'the worst of ' if len(losses) > 1 else ''}{' and '.join(losses)}"
    print_line(f"accuracy under attack on {attack.task}: {climbed}, float64 gradients; epsilon times the range {low:g} to {high:g}")
    rows = [
        [
            run.model,
            run.rule,
            point.epsilon,
            *map(percent, (run.sweep.natural, point.fgsm, point.pgd, point.fgsm_float64, point.fgsm_float32, point.noise)),
        ]
        for run in attack.runs
        for point in run.sweep.points
    ]
    alone = [f"cross-entropy FGSM, {dtype}" for dtype in ("float64", "float32")]
    print_table(("model", "rule", "epsilon", "unmoved", "FGSM", "PGD", *alone, "random signs"), rows)
    print_line("the float32 gradient through the softmax compared with the float64 one, and the check of the latter by finite differences")
    gradients = []
    for run in attack.runs:
        narrow, check = run.sweep.float32, run.sweep.check
        probes = f"{check.conclusive} of {check.probes}"
        shares = map(percent, (narrow.zero, narrow.sign, narrow.entries))
        gradients.append([run.model, run.sweep.samples, *shares, probes, f"{check.largest_error:.1e}", "ok" if check.ok else "not ok"])
    print_table(
        ("model", "samples", "all zero", "any sign differs", "signs that differ", "conclusive", "largest error", "check"), gradients
    )
    if attack.carried:
        print_line("examples made on one model, tested on another")
        rows = [[c.source, c.victim, c.epsilon, percent(c.fgsm), percent(c.pgd)] for c in attack.carried]
        print_table(("made on", "tested on", "epsilon", "FGSM", "PGD"), rows)
