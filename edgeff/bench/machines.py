"""Where configurations run: processes of this machine, or the workers of a Dask cluster; and which share of them one batch job runs.

A worker of a cluster must have the sources of edgeff that run here: others could give other results under this version's name.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import joblib

import edgeff
from edgeff.bench.suites import Runnable
from edgeff.errors import BadInput, MissingTool, Unsupported
from edgeff.ir import Trace

CONNECT_S = 10
"""Seconds until a scheduler that does not answer, or has no worker, is given up."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """The ``number``-th of ``of`` shares, from 1: every ``of``-th configuration, so that shares take about equally long."""

    number: int = 1
    of: int = 1

    def share(self, every: Sequence[Item]) -> list[Item]:
        """The configurations of this share.

        >>> Shard(2, 3).share("abcdefgh")
        ['b', 'e', 'h']
        """
        return [*every[self.number - 1 :: self.of]]


@dataclass(frozen=True)
class Machines:
    """``workers`` processes of this machine, or of the Dask cluster whose scheduler listens at ``scheduler`` (then None: all of them)."""

    workers: int | None = None
    scheduler: str | None = None

    def traces(self, chosen: Sequence[Runnable]) -> Iterator[tuple[Runnable, Trace]]:
        """The configurations with their traces, each as soon as it is finished.

        Raises MissingTool without Dask, BadInput for a scheduler that does not answer or has no worker, and Unsupported for a worker
        with other sources of edgeff. The results are those of a local run, to the last digit.
        """
        with self.used() as n_jobs:
            parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)  # what is finished is saved at once
            yield from parallel(joblib.delayed(_numbered)(configuration) for configuration in chosen)

    @contextmanager
    def used(self) -> Iterator[int]:
        """Within it joblib runs on these machines, with the given ``n_jobs``. Errors as of ``traces``."""
        if self.scheduler is None:
            yield self.workers or 1
            return
        client = connected(self.scheduler)
        try:
            free = {address: cores for address, cores in client.ncores().items() if cores}
            some = [*free][: self.workers]
            with joblib.parallel_config(backend="dask", client=client, workers=some, allow_other_workers=False):
                yield -1
        finally:
            client.close()


def connected(scheduler: str) -> Any:
    """A client of the Dask scheduler at an address such as ``tcp://10.0.0.1:8786``, all of whose workers have edgeff as it is here."""
    if any(importlib.util.find_spec(name) is None for name in ("dask", "distributed")):
        raise MissingTool("dask is not installed", next_step="pip install 'edgeff[dask]'")
    from distributed import Client

    try:
        client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        _unreachable(scheduler, str(error) or type(error).__name__)
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
        fingerprints = client.run(sources_fingerprint)
    except OSError:  # TimeoutError is one
        client.close()
        _unreachable(scheduler, "no worker")
    except ImportError as error:
        client.close()
        _refuse_sources(f"the workers of {scheduler}", str(error))
    for worker, fingerprint in fingerprints.items():
        if fingerprint != sources_fingerprint():
            client.close()
            _refuse_sources(f"worker {worker}", "other sources")
    return client


def sources_fingerprint() -> str:
    """The SHA-256 of the Python and C files of the edgeff that this process imports, in hexadecimal digits."""
    folder, digest = Path(edgeff.__file__).parent, hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".c", ".h"}):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _numbered(configuration: Runnable) -> tuple[Runnable, Trace]:
    return configuration, configuration.run()


def _unreachable(scheduler: str, got: str) -> NoReturn:
    step = "start one with `dask scheduler`, and workers with `dask worker ADDRESS --nworkers 2 --nthreads 1`"
    raise BadInput(f"scheduler {scheduler}", got=got, allowed="a Dask scheduler that answers and has a worker", next_step=step) from None


def _refuse_sources(where: str, got: str) -> NoReturn:
    step = "install the same version there and start the workers again"
    raise Unsupported(f"edgeff of {where}", got=got, allowed="the sources that run here", next_step=step) from None
