"""edgeff: networks that learn on microcontrollers, from a rule in NumPy to C99 whose every bit is known.

The road, in order; each stage is a module, whose main function often has its name (``edgeff.train.train``):

``registry``
    What there is: ``rules``, ``tasks``, ``networks``, ``layers`` and ``kernels`` by name.
``networks``, ``train``, ``importers``
    A structure, its training on the host, or a model from a file.
``quantize``, ``lower``, ``deploy``
    Integers; the program of kernel calls; both in one step for a device.
``interpreter``, ``cost``, ``plan``
    The reference result of a program, what it costs, where its tensors lie.
``exporters``, ``firmware``, ``targets``, ``simulate``, ``verify``, ``bench``, ``report``
    Files, an ELF, the machines that run it, learning on an emulated board, proof, comparisons, pictures.

A network that learns digits on the host, then one sample more in int8, as a board would:

>>> import edgeff
>>> data = edgeff.registry.tasks["digits"].load(seed=0)
>>> settings = edgeff.registry.rules["pepita"].settings.changed({"epochs": "3"})
>>> trained = edgeff.train.train(data, edgeff.structure("64-32-10"), "pepita", settings)
>>> edgeff.accuracy(trained.scores(data.x_test), data.y_test) > 0.8
True
>>> deployment = edgeff.deploy.deploy(trained.network, data.x_train, rule="pepita", numeric="int8")
>>> edgeff.plan.plan(deployment.program).arena_bytes
2576
>>> device = edgeff.Interpreter(deployment.program)
>>> device.learn(deployment.inputs(data.x_train[:1])[0], label=data.y_train[0])

``edgeff.write_c(deployment.program, folder)`` writes that program as C, and ``edgeff.HostTarget(deployment.program)`` runs the C here.
Every refusal is an ``EdgeffError`` of one line. Importing edgeff imports no stage; the first use of a name does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeff.boards import load_board
    from edgeff.deploy import Deployment
    from edgeff.errors import EdgeffError
    from edgeff.exporters.c import write_c
    from edgeff.exporters.onnx import write_onnx
    from edgeff.exporters.tflite import write_tflite
    from edgeff.importers import load
    from edgeff.interpreter import Interpreter
    from edgeff.ir import Board, Layer, MemoryPlan, Network, Program, Trace
    from edgeff.networks import initialised, structure
    from edgeff.simulate import build_project
    from edgeff.targets.host import HostTarget
    from edgeff.targets.unicorn import UnicornTarget
    from edgeff.train import accuracy

STAGES = (
    "registry",
    "networks",
    "train",
    "importers",
    "quantize",
    "lower",
    "deploy",
    "interpreter",
    "cost",
    "plan",
    "exporters",
    "firmware",
    "targets",
    "simulate",
    "verify",
    "bench",
    "report",
)

__all__ = [
    "Board",
    "Deployment",
    "EdgeffError",
    "HostTarget",
    "Interpreter",
    "Layer",
    "MemoryPlan",
    "Network",
    "Program",
    "Trace",
    "UnicornTarget",
    "accuracy",
    "build_project",
    "initialised",
    "load",
    "load_board",
    "structure",
    "write_c",
    "write_onnx",
    "write_tflite",
]

_HOMES = {
    "errors": ("EdgeffError",),
    "ir": ("Board", "Layer", "MemoryPlan", "Network", "Program", "Trace"),
    "networks": ("initialised", "structure"),
    "train": ("accuracy",),
    "importers": ("load",),
    "deploy": ("Deployment",),
    "interpreter": ("Interpreter",),
    "exporters.onnx": ("write_onnx",),
    "exporters.tflite": ("write_tflite",),
    "exporters.c": ("write_c",),
    "targets.host": ("HostTarget",),
    "targets.unicorn": ("UnicornTarget",),
    "boards": ("load_board",),
    "simulate": ("build_project",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A stage, or a name of ``__all__``, imported when it is first asked for."""
    if name in STAGES:
        return importlib.import_module(f"edgeff.{name}")
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"edgeff.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'edgeff' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *STAGES, *__all__})
