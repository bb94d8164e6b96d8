"""Evolves a top-down network for TDCA and saves it: ``python benchmarks/tdca_meta.py [TASK] -o FILE.npz``.

Without TASK on synthetic tasks. The network shipped is ``python benchmarks/tdca_meta.py -o edgeff/rules/tdca.npz``, about 5 minutes on one
core. On a TASK with a training part its test part is never read. ``--set top_down=FILE.npz`` trains with it. A run that was stopped goes on
where it was, from ``FILE.part.npz``.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeff import registry
from edgeff.rules._tdca_training import Evolution, Lessons, MetaSettings, begin, drawn_from, evolve, synthetic
from edgeff.rules._top_down import write


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("task", nargs="?", default="", help="a registered task; without one, synthetic tasks")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    for name in ("generations", "pairs", "runs", "epochs"):
        parser.add_argument(f"--{name}", type=int, default=getattr(MetaSettings, name))
    parser.add_argument("--lr", type=float, default=MetaSettings.lr)
    parser.add_argument("--hidden", type=int, nargs="+", default=list(MetaSettings.hidden))
    parser.add_argument("--classes", type=int, nargs="+", default=[10], help="counts of classes of synthetic tasks")
    given = parser.parse_args()
    settings = MetaSettings(given.generations, given.pairs, given.runs, given.epochs, lr=given.lr, hidden=tuple(given.hidden))
    lessons: Lessons = partial(synthetic, counts=tuple(given.classes))
    if given.task:
        data = registry.tasks[given.task].load(given.seed)
        lessons = drawn_from(data.x_train.reshape(len(data.x_train), -1), data.y_train, len(data.classes))
    part, state, started = given.out.with_suffix(".part.npz"), begin(given.seed), time.monotonic()
    if part.exists():
        with np.load(part) as kept:
            state = Evolution(kept["theta"], kept["mean"], kept["square"], int(kept["generation"]))
    while state.generation < settings.generations:
        loss = evolve(state, lessons, settings, given.seed)
        if state.generation % 10 == 0:
            np.savez(part, theta=state.theta, mean=state.mean, square=state.square, generation=state.generation)
            print(f"generation {state.generation}: inner loss {loss:.4f}, {time.monotonic() - started:.0f} s", flush=True)
    made_by: dict[str, Any] = {"task": given.task or "synthetic", "classes": given.classes, "seed": given.seed} | asdict(settings)
    write(given.out, state.network, made_by)
    part.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
