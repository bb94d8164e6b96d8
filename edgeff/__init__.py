"""edgeff: networks that learn on microcontrollers, from a rule in NumPy to C99 whose every bit is known.

The road, in order; each room is a package:

``ops``, ``networks``, ``tasks``, ``rules``, ``registry``
    What there is, by name in ``registry``: operators, structures, data, learning rules.
``train``, ``formats``
    Training on the host, or a model from a file; files are written there too.
``program``
    Integers, the program of kernel calls, its reference result, what it costs, where its tensors lie.
``codegen``, ``device``
    C; boards, an ELF, the machines that run it, learning on an emulated board.
``verify``, ``bench``, ``report``, ``studies``
    Proof, comparisons, pictures, and what stands beside the road.

A network that learns digits on the host, then one sample more in int8, as a board would:

>>> import edgeff
>>> from edgeff.train.loop import train
>>> data = edgeff.registry.tasks["digits"].load(seed=0)
>>> settings = edgeff.registry.rules["pepita"].settings.changed({"epochs": "3"})
>>> trained = train(data, edgeff.structure("64-32-10"), "pepita", settings)
>>> edgeff.accuracy(trained.scores(data.x_test), data.y_test) > 0.8
True
>>> deployment = edgeff.deploy(trained.network, data.x_train, rule="pepita", numeric="int8")
>>> edgeff.plan(deployment.program).arena_bytes
2544
>>> device = edgeff.Interpreter(deployment.program)
>>> device.learn(deployment.inputs(data.x_train[:1])[0], label=data.y_train[0])
<Code.OK: 0>

``edgeff.write_c(deployment.program, folder)`` writes that program as C, and ``edgeff.HostTarget(deployment.program)`` runs the C here.
Every refusal is an ``EdgeffError`` of one line. Importing edgeff imports no room; the first use of a name does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeff.lazy import lazy

if TYPE_CHECKING:
    from edgeff.codegen.folder import write_c
    from edgeff.device.boards import load_board
    from edgeff.device.simulate import build_project
    from edgeff.device.targets.host import HostTarget
    from edgeff.device.targets.unicorn import UnicornTarget
    from edgeff.errors import EdgeffError
    from edgeff.formats import load
    from edgeff.formats.onnx.writer import write_onnx
    from edgeff.formats.tflite.writer import write_tflite
    from edgeff.ir import Board, Layer, MemoryPlan, Network, Program, Trace
    from edgeff.networks import initialised, structure
    from edgeff.program.cost import cost
    from edgeff.program.deploy import Deployment, deploy
    from edgeff.program.interpreter import Interpreter
    from edgeff.program.lower import lower
    from edgeff.program.plan import plan
    from edgeff.program.quantize import quantize
    from edgeff.train.loop import accuracy

ROOMS = (
    "registry",
    "ops",
    "networks",
    "tasks",
    "rules",
    "train",
    "formats",
    "program",
    "codegen",
    "device",
    "studies",
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
    "cost",
    "deploy",
    "initialised",
    "load",
    "load_board",
    "lower",
    "plan",
    "quantize",
    "structure",
    "write_c",
    "write_onnx",
    "write_tflite",
]

_HOMES = {
    "errors": ("EdgeffError",),
    "ir": ("Board", "Layer", "MemoryPlan", "Network", "Program", "Trace"),
    "networks": ("initialised", "structure"),
    "train.loop": ("accuracy",),
    "formats": ("load",),
    "program.cost": ("cost",),
    "program.deploy": ("Deployment", "deploy"),
    "program.interpreter": ("Interpreter",),
    "program.lower": ("lower",),
    "program.plan": ("plan",),
    "program.quantize": ("quantize",),
    "formats.onnx.writer": ("write_onnx",),
    "formats.tflite.writer": ("write_tflite",),
    "codegen.folder": ("write_c",),
    "device.targets.host": ("HostTarget",),
    "device.targets.unicorn": ("UnicornTarget",),
    "device.boards": ("load_board",),
    "device.simulate": ("build_project",),
}
__getattr__, __dir__ = lazy(__name__, _HOMES, ROOMS)
