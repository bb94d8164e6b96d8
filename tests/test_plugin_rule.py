"""Adding a rule is one file: a toy rule outside the package is found, learns, is lowered, and its C learns on an emulated core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RULE = '''
"""A toy: the output error reaches every hidden layer through one matrix of its own and no derivative."""

from math import prod

import numpy as np

from edgeff.kernels.arithmetic import feedback_signs, stream_key
from edgeff.ops import forward, kind
from edgeff.rules import Rule, Settings, register


@register
class Toy(Rule):
    """``d_L = e``, ``d_l = e B_l`` with entries +-0.3."""

    name = "toy"
    summary = "a rule from outside"
    source = "made up"
    settings = Settings(lr=0.03, momentum=0.0, batch=8, epochs=6)
    device = {"float32": {"lr": 0.02}, "int16": {"lr": 0.02}, "int8": {"lr": 0.02}}

    def start(self, run):
        n_e = prod(run.network.layers[-1].shape)
        for layer in run.hidden:
            run.extra[layer.name] = 0.3 * feedback_signs(prod(layer.shape), n_e, stream_key(run.seed, "feedback", layer.name))

    def step(self, run, x, t):
        h = forward(run.network, run.params, x)
        e = h[run.network.layers[-1].name] - t
        deltas = {layer.name: e if layer is run.last else e @ run.extra[layer.name].T for layer in run.network.trainable}
        return {
            layer.name: kind(layer).weight_gradient(layer, run.params[layer.name], deltas[layer.name], h[layer.inputs[0]])
            for layer in run.network.trainable
        }

    def lower(self, build):
        h = build.run(build.x)
        e = build.error(h[build.layers[-1].name])
        *hidden, last = [layer for layer in build.layers if layer.trainable]
        for layer in hidden:
            build.update(layer, build.feedback(layer.name, e, 0.3, n=h[layer.name].elements), h[layer.inputs[0]])
        build.update(last, e, h[last.inputs[0]])
'''

SCRIPT = """
import json
import sys
from pathlib import Path

import numpy as np

from edgeff import registry
from edgeff.device.boards import load_board
from edgeff.program.deploy import deploy
from edgeff.codegen.folder import write_c
from edgeff.networks import initialised, structure
from edgeff.device.targets.host import HostTarget
from edgeff.train.loop import accuracy, train
from edgeff.verify.executions import Emulated, twin_learning

data = registry.tasks["digits"].load(0)
trained = train(data, structure("64-24-10"), "toy")
found = {"rules": list(registry.rules), "host": accuracy(trained.scores(data.x_test), data.y_test)}
fresh = initialised(structure("64-24-10"), 0)
for numeric in ("float32", "int8"):
    deployment = deploy(fresh, data.x_train, rule="toy", numeric=numeric)
    program, x, y = deployment.program, deployment.inputs(data.x_train), data.y_train
    source = write_c(program, Path(sys.argv[1]) / numeric)
    twin = twin_learning(program, source.memory, x[:50], y[:50], x[:5], lambda: None)
    core = Emulated(program, load_board("nucleo_l4r5zi")).learning(x[:50], y[:50], x[:5], lambda: None)
    target = HostTarget(program, source)
    host = target.learn_traced(x[:50], y[:50])
    target.init()
    for epoch in range(2):
        target.learn_many(x, y, np.random.default_rng(epoch).permutation(len(x)))
    found[numeric] = {
        "learned": float((target.predict_many(deployment.inputs(data.x_test))[0] == data.y_test).mean()),
        "moved": int(np.count_nonzero(twin.states[0] != twin.states[-1])),
        "host differs": int(np.count_nonzero(twin.states != host)),
        "core differs": int(np.count_nonzero(twin.states != core.states)),
        "scores differ": int(np.count_nonzero(twin.after.scores != core.after.scores)),
    }
print(json.dumps(found))
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"EDGEFF_PLUGIN_DIR": str(folder)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300, env=environment, check=False)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the toy rule did in a process of its own, and the folder of its C."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "toy.py").write_text(RULE, encoding="utf-8")
    done = run(folder, "-c", SCRIPT, str(folder / "c"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"folder": folder}


def test_it_is_found_and_learns_on_the_host(outcome: dict[str, Any]) -> None:
    assert "toy" in outcome["rules"]
    assert outcome["host"] > 0.85


@pytest.mark.parametrize("numeric", ["float32", "int8"])
def test_its_c_learns_and_is_the_same_on_twin_host_and_core(outcome: dict[str, Any], numeric: str) -> None:
    made = outcome[numeric]
    assert made["learned"] > 0.7
    assert made["moved"] > 0
    assert (made["host differs"], made["core differs"], made["scores differ"]) == (0, 0, 0)


def test_its_c_is_written_like_any_other(outcome: dict[str, Any]) -> None:
    for numeric in ("float32", "int8"):
        text = (outcome["folder"] / "c" / numeric / "model.c").read_text(encoding="utf-8")
        assert "one learning step: toy" in text


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "again.py").write_text(RULE.replace('name = "toy"', 'name = "bp"'), encoding="utf-8")
    done = run(tmp_path, "-c", "from edgeff import registry; print(registry.rules['dfa'].name); registry.rules['bp']")
    assert done.stdout == "dfa\n"
    assert done.returncode != 0
    assert "edgeff.errors.BadInput: plugin file" in done.stderr
    assert "duplicate rule 'bp'" in done.stderr.splitlines()[-1]


def test_a_file_that_breaks_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n", encoding="utf-8")
    done = run(tmp_path, "-c", "from edgeff import registry; list(registry.rules)")
    assert "broken.py: got ZeroDivisionError: division by zero" in done.stderr
