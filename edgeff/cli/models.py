"""A model file and its origin, from which commands choose a task, a rule and a seed if the user names none.

Metadata of a file made elsewhere may hold anything; anything not in edgeff's form counts as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeff.cli.options import LARGEST_SEED, RawSamples
from edgeff.cli.terminal import print_note
from edgeff.errors import BadInput

if TYPE_CHECKING:
    from edgeff.ir import Layer, Network, Program
    from edgeff.program.deploy import Deployment
    from edgeff.program.lower import Replay
    from edgeff.tasks import Data, Task
    from edgeff.tasks.own import Known


@dataclass(frozen=True)
class Model:
    """A network and its metadata: the task and the rule of its training (None: unknown), the seed of both, the settings.

    ``task`` is the name of a registered task, or the path of the user's own data, of which the metadata say how they were read.
    ``fresh``: it has no file; its parameters were drawn from the seed.
    """

    network: Network
    task: str | None
    rule: str | None
    seed: int
    settings: Mapping[str, Any]
    fresh: bool = False

    @property
    def own(self) -> Known | None:
        """What the file says of the user's own data that the model was trained on; None for a registered task or an unknown one."""
        from edgeff.tasks.own import Known

        return Known.of(self.network.metadata)

    @property
    def trained_on(self) -> Task | None:
        """The task of its training: None if it is unknown, or its own data are no longer where they were, or have changed."""
        from edgeff import registry
        from edgeff.tasks.own import own_data

        if self.task is None or self.task in registry.tasks:
            return None if self.task is None else registry.tasks[self.task]
        try:
            task = own_data(self.task, {}, self.own)
            gone = task.unseen
        except (BadInput, OSError):
            return None
        return None if gone else task

    @property
    def predicts_by_rule(self) -> bool:
        """Whether the model's rule predicts in its own way instead of by the network's forward pass."""
        from edgeff.rules import find_rule

        return self.rule is not None and find_rule(self.rule).predicts_by_rule

    @property
    def probes(self) -> bool:
        """Whether the rule's prediction differs from that of the network's last layer, the head."""
        return self.predicts_by_rule and self.settings.get("predict") != "head"

    def trained_settings(self) -> Any:
        """The settings of the model's rule in its training; those missing from the file are the rule's defaults."""
        from edgeff.rules import find_rule

        settings = find_rule(str(self.rule)).settings
        known = {field.name: getattr(settings, field.name) for field in fields(settings)}
        told: dict[str, Any] = {}
        for name, value in self.settings.items():
            given = tuple(value) if isinstance(value, list) else value
            if name in known and (known[name] is None or isinstance(given, type(known[name]))):
                told[name] = given
        return replace(settings, **told)

    def rule_settings(self, rule: str, numeric: str) -> dict[str, Any]:
        """The settings by which the model predicts, for a device that continues with the model's own ``rule``; {} for any other rule.

        Those of the optimiser and those that the rule sets for a device in this numeric are left out.
        """
        from edgeff.rules import Settings, find_rule

        if rule != self.rule or not self.predicts_by_rule:
            return {}
        item = find_rule(rule)
        own = (
            {field.name for field in fields(item.settings)} - {field.name for field in fields(Settings)} - set(item.device.get(numeric, {}))
        )
        return {
            name: value for name, value in self.settings.items() if name in own and isinstance(value, type(getattr(item.settings, name)))
        }


def load_model(path: str | Path) -> Model:
    """The model in the file at ``path``. Raises BadInput and Unsupported as ``edgeff.formats.load`` does."""
    from edgeff import registry
    from edgeff.formats import load
    from edgeff.rules import is_rule
    from edgeff.tasks.own import Known

    network = load(path)
    known = network.metadata
    own = Known.of(known)
    task, rule, seed, settings = (known.get(key) for key in ("task", "rule", "seed", "settings"))
    return Model(
        network,
        task if isinstance(task, str) and task in registry.tasks else own.path if own else None,
        rule if isinstance(rule, str) and is_rule(rule) else None,
        seed if type(seed) is int and 0 <= seed <= LARGEST_SEED else 0,
        settings if isinstance(settings, Mapping) else {},
    )


def load_model_or_network(text: str, seed: int | None = None) -> Model:
    """The model in the file ``text``; if there is no such file, the network of that name with fresh weights.

    The cost does not depend on their values. Raises BadInput as ``load_model`` and ``edgeff.networks.structure`` do.
    """
    from edgeff import registry
    from edgeff.networks import initialised, structure

    if Path(text).exists() or Path(text).suffix:
        return load_model(text)
    if text not in registry.networks and not text[:1].isdigit():
        allowed = f"an .onnx or .tflite file, a dense list such as 64-32-10, {', '.join(registry.networks)}"
        raise BadInput("model", got=f"{text!r}, no such file or network", allowed=allowed)
    network = initialised(structure(text), seed or 0)
    return Model(network, None, None, seed or 0, {}, fresh=True)


def find_task(text: str, choices: Mapping[str, str], model: Model | None = None) -> Task:
    """The registered task called ``text``, else the user's own data at that path.

    Args: ``choices``, how to read own data (``--data``); ``model``, whose file says how else, and whose classes and columns the data then
    have. Raises BadInput for neither of the two, and for choices beside a registered task.
    """
    from edgeff import registry
    from edgeff.tasks.own import ALLOWED, is_path, own_data

    if text in registry.tasks:
        if choices:
            step = f"leave it out, or write ./{text} for a folder of that name"
            raise BadInput("option --data", got=f"the registered task {text}", allowed="with your own data", next_step=step)
        task: Task = registry.tasks[text]
        return task
    if not is_path(text):
        allowed = f"{', '.join(registry.tasks)}, or the path of your own data: {ALLOWED}"
        raise BadInput("unknown task", got=repr(text), allowed=allowed, next_step="see `edgeff list tasks`")
    return own_data(text, choices, model.own if model else None)


def split_seed(model: Model, task: Task, seed: int | None) -> int:
    """The seed that splits the task's data: by default the model's. Another one prints a note, since it mixes training and test data."""
    if seed is not None and seed != model.seed and task.name == model.task:
        print_note(
            f"seed {seed} splits {task.name} differently from seed {model.seed} of the model's training: it may have seen test samples"
        )
    return model.seed if seed is None else seed


def load_task(task: Task, seed: int, network: Network | None = None, *, outputs: bool = True, new: bool = False) -> Data:
    """The data of a task, split by ``seed``, in the shape that ``network`` reads: flattened, or without axes of length 1, where need be.

    With ``new``, own data other than those of the model's training test as a whole. Raises BadInput if the network does not fit them;
    without ``outputs`` only its input is compared.
    """
    from math import prod

    from edgeff.networks import reproduces_input
    from edgeff.tasks.own import OwnData

    if new and isinstance(task, OwnData) and task.unseen:
        data = task.whole()
        print_note(f"{task.name} is not what the model was trained on: all {len(data.x_test):,} samples test")
    else:
        data = task.load(seed)
    if network is None:
        return data
    step = "choose a network that fits the task"
    wanted, given = tuple(network.input_shape), tuple(data.input_shape)
    same_axes = [size for size in wanted if size != 1] == [size for size in given if size != 1]
    if wanted != given and (prod(wanted) != prod(given) or not (len(wanted) == 1 or same_axes)):
        raise BadInput("network input", got=wanted, allowed=f"{given}, that of task {task.name}", next_step=step)
    rebuilds = reproduces_input(network) and task.metric != "accuracy"
    if outputs and not rebuilds and network.layers[-1].shape != (data.outputs,):
        allowed = f"({data.outputs},), the {'values' if task.target == 'value' else 'classes'} of task {task.name}"
        raise BadInput("network output", got=network.layers[-1].shape, allowed=allowed, next_step=step)
    if wanted == given:
        return data
    return replace(data, x_train=data.x_train.reshape(-1, *wanted), x_test=data.x_test.reshape(-1, *wanted))


def for_training(task: Task, data: Data) -> tuple[Layer | None, Data]:
    """The layer that standardises the inputs of a task that wants it, for the network that is trained to follow; and the data after it."""
    from edgeff.ops import kind
    from edgeff.ops.scale_input import standardising

    if not task.standardise or not len(data.x_train):
        return None, data
    first = standardising(data.x_train)
    x_train, x_test = (kind(first).forward(first, {}, x) for x in (data.x_train, data.x_test))
    return first, replace(data, x_train=x_train, x_test=x_test)


def standard_values(data: Data) -> tuple[Data, float, float]:
    """The data with the values to learn less their mean, over their deviation, both of the training part; and the two."""
    centre, spread = float(data.y_train.mean()), float(data.y_train.std()) or 1.0
    y_train, y_test = (((y - centre) / spread).astype("float32") for y in (data.y_train, data.y_test))
    return replace(data, y_train=y_train, y_test=y_test), centre, spread


def rule_of(rule: str | None, chosen: str, network: Network) -> str | None:
    """The rule that trains only the ``chosen`` layers: a composition with frozen layers below them, if they are not all.

    Raises BadInput for layers that have nothing to learn, or that are not the last ones.
    """
    from edgeff.ops.canonical import canonical

    if chosen == "all" or rule is None:
        return rule
    network = canonical(network, side_branches=False)
    known = [layer.name for layer in network.trainable]
    names = [name.strip() for name in chosen.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise BadInput("option --train-layers", got=repr(unknown[0]), allowed=f"all, or some of {', '.join(known)}")
    last = known[len(known) - len(set(names)) :]
    if set(names) != set(last):
        raise BadInput("option --train-layers", got=chosen, allowed=f"the last layers, such as {', '.join(last)}")
    return rule if last == known else f"frozen:{network[last[0]].inputs[0]},{rule}"


def make_deployment(
    model: Model,
    *,
    rule: str | None,
    numeric: str | None = None,
    train_layers: str = "all",
    tail_numeric: str | None = None,
    replay: Replay | None = None,
    changes: Iterable[tuple[str, str]] = (),
    calibrate: str | None = None,
    choices: Mapping[str, str] | None = None,
    seed: int | None = None,
    data: Data | None = None,
    features: RawSamples | None = None,
    keep_input: bool = False,
) -> Deployment:
    """``model`` as a program that predicts and, with a ``rule``, learns.

    ``numeric`` is by default the model's own and ``seed`` the model's; ``tail_numeric`` is that of the layers that the last rule of a
    composition trains, or without a rule of ``train_layers``; ``replay`` is a ring of samples to learn from again; ``changes`` are settings
    of the rule for the device, as strings; ``keep_input``: a prediction leaves the input as it was. With ``features`` the program starts
    from the raw samples of a task, or takes them as they come. A float model is quantised on ``data``, or on the task ``calibrate`` (own
    data are read by ``choices``), by default that of its metadata. Raises BadInput and Unsupported as ``edgeff.deploy`` does; BadInput for
    settings without a rule, or if there is nothing to calibrate on.
    """
    from edgeff.ir import Headroom
    from edgeff.networks import learned_target, random_inputs
    from edgeff.program.deploy import deploy
    from edgeff.rules import find_rule

    seed, raw = model.seed if seed is None else seed, features or RawSamples()
    mixed = numeric is None and tail_numeric is None and len(model.network.numerics) > 1
    numbers: Any = model.network.numerics[0] if mixed else numeric or model.network.numeric
    if rule is None and replay is not None:
        raise BadInput("option --replay", got="no rule", allowed="with a rule that learns", next_step="name it: --rule R")
    if rule is None and tuple(changes):
        raise BadInput("option --set", got="no rule", allowed="settings of a rule", next_step="name it: --rule R")
    learned: Any = tail_numeric or numbers
    used = rule or (model.rule if model.probes else None)
    if tail_numeric is not None and rule is None:
        used = rule_of("frozen", train_layers, model.network)
    chosen: dict[str, Any] = {}
    if used is not None:
        texts = dict(changes)
        settings = find_rule(used).device_settings(learned).changed(texts)
        chosen = model.rule_settings(used, learned) | {name: getattr(settings, name) for name in texts}
    x = None
    if (numbers, learned) != ("float32", "float32") and model.network.input_quant is None:
        if model.fresh and calibrate is None and data is None:
            x = random_inputs(model.network, seed)
        else:
            x = (data or _calibration(model, learned if numbers == "float32" else numbers, calibrate, choices or {}, seed)).x_train
    headroom = None if rule else Headroom()
    target = learned_target(model.network)
    options: dict[str, Any] = {"rule": used, "changes": chosen, "seed": seed, "target": target}
    options |= {"numeric": None if mixed else numbers, "tail_numeric": tail_numeric, "replay": replay, "keep_input": keep_input}
    deployment = deploy(model.network, x, headroom=headroom, **options, stream=raw.stream and raw.task is None)
    if raw.task is not None:
        network = _from_samples(deployment.network, find_task(raw.task, choices or {}, model))
        deployment = deploy(network, **options, stream=raw.stream)
    return deployment if rule or used is None else replace(deployment, program=inference_only(deployment.program))


def _from_samples(network: Network, task: Task) -> Network:
    """``network`` after the layer that computes the features of ``task`` from its raw samples; BadInput for a task without features."""
    from edgeff import registry
    from edgeff.ops.mfcc import with_features
    from edgeff.tasks.own import OwnData

    if isinstance(task, OwnData):
        task.load()  # its recordings say at which rate they are
    attrs, samples = getattr(task, "features", None), getattr(task, "samples", None)
    if attrs is None or samples is None:
        names = [name for name, other in registry.tasks.items() if hasattr(other, "features")]
        allowed = f"{', '.join(names)}, or a folder of your own recordings"
        raise BadInput("option --features", got=repr(task.name), allowed=allowed)
    return with_features(network, attrs, samples)


def _calibration(model: Model, numeric: str, calibrate: str | None, choices: Mapping[str, str], seed: int) -> Data:
    from edgeff import registry

    task = find_task(calibrate, choices, model) if calibrate else model.trained_on
    if task is None:
        allowed = f"{', '.join(registry.tasks)}, or the path of your own data"
        got = f"a model trained on {model.task}, which is not here as it was" if model.task else "a model without a known task"
        raise BadInput(f"quantising to {numeric}", got=got, allowed=allowed, next_step="name the task: --calibrate TASK")
    return load_task(task, seed, model.network, outputs=calibrate is None)


def inference_only(program: Program) -> Program:
    """``program`` without learning: its variables become constants, and tensors used only by lines that learn are removed."""
    from edgeff.program.stream import LISTEN

    lines = {name: line for name, line in program.lines.items() if name in ("infer", LISTEN)}
    used = {name for line in lines.values() for call in line.calls for name in (*call.outputs, *call.inputs)}
    used |= {name for line in lines.values() for name in (*line.arguments, *line.results)}
    tensors = {
        name: replace(tensor, role="constant") if tensor.role == "variable" else tensor
        for name, tensor in program.tensors.items()
        if name in used
    }
    return replace(program, rule="", lines=lines, tensors=tensors)
