"""Which rounding LiteRT's reference kernels have, operator by operator: models of one operator, their sums at the borders of two outputs.

Each test shows that edgeff's twin of the operator (``verify.explain``) gives LiteRT's outputs to the bit, that TFLM's are edgeff's own, and
that another rounding would have been seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from image_networks import Builder
from model_files import run_litert, run_tflm
from tflite_files import File

from edgeff.formats.tflite.schema import schema
from edgeff.formats.tflite.writer import to_tflite
from edgeff.ir import Array, Attr, Layer, Network, Quant
from edgeff.kernels.arithmetic import multiplier_and_shift, requantise
from edgeff.kernels.records import Rescale
from edgeff.ops import kind, make
from edgeff.ops.add import Add
from edgeff.ops.global_average_pool import GlobalAveragePool
from edgeff.ops.requantise import Requantise
from edgeff.ops.window_math import same_padding
from edgeff.program.interpreter import Interpreter
from edgeff.program.lower import lower
from edgeff.verify.explain import litert_reference, round_half_away

pytest.importorskip("tflite_micro", reason="tflite-micro is not installed")
pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

Rounding = Callable[[Array, float], Array]
EVERY = np.arange(-128, 128, dtype=np.int8)
ROUNDS = 60


def double(sums: Array, real: float) -> Array:
    """gemmlowp's: edgeff's, TFLM's."""
    return requantise(sums, *multiplier_and_shift(real))


def once(sums: Array, real: float) -> Array:
    """One rounding of the product with the 31-bit multiplier, ties upwards."""
    multiplier, shift = multiplier_and_shift(real)
    return (sums * multiplier + (1 << (30 - shift))) >> (31 - shift)


def in_float(sums: Array, real: float) -> Array:
    """One rounding of the product in float64, ties away from zero."""
    return round_half_away(sums * real).astype(np.int64)


def float32(value: float) -> float:
    return float(np.float32(value))


def twin(network: Network, x: Array) -> Array:
    runner = Interpreter(lower(network))
    rows = []
    for sample in x:
        runner.predict(sample)
        rows.append(runner.output().reshape(-1))
    return np.array(rows)


def outputs(run: Callable[[bytes, Array], Array], network: Network, x: Array) -> Array:
    return run(to_tflite(network), x).reshape(len(x), -1)


def assert_explained(network: Network, x: Array) -> Array:
    """LiteRT's outputs, after it was shown that its twin gives them and that TFLM's are edgeff's."""
    made = outputs(run_litert, network, x)
    np.testing.assert_array_equal(litert_reference(lower(network), x.reshape(len(x), -1)), made)
    np.testing.assert_array_equal(twin(network, x), outputs(run_tflm, network, x))
    return made


def border_scales(rng: np.random.Generator, number: int) -> tuple[float, float, float]:
    """Scales of input, weights and output: powers of two, where halves are met exactly, and others with 100,000 sums an output step."""
    if 1 <= number < 11:
        return 1.0, 0.5**number, 1.0
    x, w = (float32(v) for v in rng.uniform(0.001, 0.01, 2))
    return x, w, float32(rng.uniform(1.0, 3.0) * x * w * 100_000)


def of_sums(op: str, sums: Array, scales: tuple[float, float, float], *, per_channel: bool) -> Network:
    """One layer whose sums are its biases: its weights are zero."""
    x, w, y = scales
    count = len(sums)
    shape = {"dense": (1,), "conv2d": (1, 1, 1), "depthwise_conv2d": (1, 1, count)}[op]
    weight = {"dense": (count, 1), "conv2d": (count, 1, 1, 1), "depthwise_conv2d": (1, 1, count)}[op]
    axis = (2 if op == "depthwise_conv2d" else 0) if per_channel else None
    every = (w,) * (count if per_channel else 1)
    quant = {
        "weight": Quant(every, 0, axis),
        "bias": Quant(tuple(x * scale for scale in every), 0, None if axis is None else 0),
        "output": Quant((y,), 0),
    }
    attrs: dict[str, Attr] = {"activation": "none"}
    if op != "dense":
        attrs |= {"kernel_h": 1, "kernel_w": 1, "stride_h": 1, "stride_w": 1}
        attrs |= {f"pad_{side}": 0 for side in ("top", "left", "bottom", "right")}
    if op == "depthwise_conv2d":
        attrs["multiplier"] = 1
    params: dict[str, Array] = {"weight": np.zeros(weight, np.int8), "bias": sums.astype(np.int32)}
    layer = Layer("sums", make(op, attrs), ("input",), (count,) if op == "dense" else (1, 1, count), params, quant)
    return Network("sums", shape, (layer,), Quant((x,), 0))


@pytest.mark.slow
@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
@pytest.mark.parametrize(
    ("op", "own", "others"),
    [("dense", in_float, (once, double)), ("conv2d", double, (once, in_float)), ("depthwise_conv2d", double, (once, in_float))],
)
def test_a_layer_with_weights_rounds_its_own_way(op: str, own: Rounding, others: tuple[Rounding, ...], per_channel: bool) -> None:
    """FULLY_CONNECTED once and in floating point; CONV_2D and DEPTHWISE_CONV_2D twice, with a 31-bit multiplier."""
    rng, count = np.random.default_rng(0), 0
    missed = dict.fromkeys(others, 0)
    for number in range(ROUNDS):
        scales = border_scales(rng, number)
        real = scales[0] * scales[1] / scales[2]
        halves = np.rint((np.arange(-100, 100) + 0.5) / real)
        sums = np.unique(np.concatenate([halves + near for near in range(-2, 3)])).astype(np.int64)
        network = of_sums(op, sums, scales, per_channel=per_channel)
        made = assert_explained(network, np.zeros((1, *network.input_shape), np.int8))[0]
        np.testing.assert_array_equal(np.clip(own(sums, real), -128, 127), made)
        count += len(sums)
        for other in others:
            missed[other] += int(np.count_nonzero(np.clip(other(sums, real), -128, 127) != made))
    assert count > 50_000
    assert min(missed.values()) > 900


@pytest.mark.parametrize(("op", "activation"), [("requantise", ""), ("relu", "relu"), ("relu", "relu6")])
def test_quantize_and_the_relus_round_twice(op: str, activation: str) -> None:
    """Every int8 value through QUANTIZE, RELU and RELU6 (behind a QUANTIZE, for TFLM's does not change the scale)."""
    rng, missed = np.random.default_rng(0), 0
    for number in range(ROUNDS):
        x = Quant((float32(rng.uniform(0.01, 0.1)),), int(rng.integers(-128, 128)))
        ratio = 2.0 ** (number % 5 - 1) if number < 20 else rng.uniform(0.3, 4)
        y = Quant((float32(x.scale[0] * ratio),), int(rng.integers(-128, 128)))
        layer = Layer("one", make(op, {"activation": activation} if activation else {}), ("input",), (256,), quant={"output": y})
        network = Network("one", (256,), (layer,), x)
        made = assert_explained(network, EVERY[None])[0]
        np.testing.assert_array_equal(twin(network, EVERY[None])[0], made)
        low, high = (y.zero_point if activation else -128), 127
        if activation == "relu6":
            high = min(127, y.zero_point + int(np.floor(6 / y.scale[0] + 0.5)))
        rounded = once(EVERY.astype(np.int64) - x.zero_point, x.scale[0] / y.scale[0]) + y.zero_point
        missed += int(np.count_nonzero(np.clip(np.clip(rounded, low, high), -128, 127) != made))
    assert missed > 300


def add_model(count: int, a: Quant, c: Quant, y: Quant, activation: str) -> bytes:
    file = File()
    one, two, sum_ = (file.tensor(name, (1, count), "int8", scale=q.scale, zero=q.zero_point) for name, q in (("a", a), ("c", c), ("y", y)))
    fused = getattr(schema.ActivationFunctionType, activation.upper())
    file.operator("ADD", [one, two], [sum_], "AddOptions", fusedActivationFunction=fused)
    return file.pack([one, two], [sum_])


def run_add(data: bytes, a: Array, c: Array) -> tuple[Array, Array]:
    """LiteRT's and TFLM's outputs of a model of two inputs."""
    from ai_edge_litert import interpreter as litert
    from tflite_micro import runtime

    reference = litert.Interpreter(model_content=data, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
    reference.allocate_tensors()
    micro = runtime.Interpreter.from_bytes(data, arena_size=1 << 22)
    for number, (detail, values) in enumerate(zip(reference.get_input_details(), (a, c), strict=True)):
        reference.set_tensor(detail["index"], values[None])
        micro.set_input(values[None], number)
    reference.invoke()
    micro.invoke()
    return reference.get_tensor(reference.get_output_details()[0]["index"])[0], np.array(micro.get_output(0)[0])


def added(a: Array, c: Array, quants: tuple[Quant, Quant, Quant], rounding: Rounding) -> Array:
    """The sums before the activation, with one rounding rule throughout."""
    qa, qc, qy = quants
    common = 2 * max(qa.scale[0], qc.scale[0])
    sides = [rounding((v.astype(np.int64) - q.zero_point) << 20, q.scale[0] / common) for v, q in ((a, qa), (c, qc))]
    return rounding(sides[0] + sides[1], common / (2.0**20 * qy.scale[0])) + qy.zero_point


@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
def test_add_rounds_twice(activation: str) -> None:
    """All 65,536 pairs; where one scale is the other by a power of two, the halves below zero tell."""
    rng = np.random.default_rng(0)
    a, c = (values.reshape(-1) for values in np.meshgrid(EVERY, EVERY))
    missed = 0
    for number in range(12):
        first = float32(rng.uniform(0.01, 0.1))
        second = first if number < 6 else float32(rng.uniform(0.01, 0.1))
        third = first * 2.0 ** (number % 3) if number < 6 else float32((first + second) * rng.uniform(0.3, 1.5))
        qa, qc, qy = (Quant((scale,), int(rng.integers(-128, 128))) for scale in (first, second, third))
        layer = Layer("sum", Add(activation=activation), ("left", "right"), (1,), quant={"output": qy})
        left, right = (Layer(name, Requantise(), ("input",), (1,), quant={"output": q}) for name, q in (("left", qa), ("right", qc)))
        attrs = lower(Network("sum", (1,), (left, right, layer), qa)).infer[-1].attrs
        made, micro = run_add(add_model(len(a), qa, qc, qy, activation), a, c)
        np.testing.assert_array_equal(made, micro)
        total = attrs["total"]
        assert isinstance(total, Rescale)
        ends = total.y_min, total.y_max
        np.testing.assert_array_equal(np.clip(added(a, c, (qa, qc, qy), double), *ends), made)
        missed += int(np.count_nonzero(np.clip(added(a, c, (qa, qc, qy), once), *ends) != made))
    assert missed > 1000 or activation != "none"  # a ReLU cuts off what is below zero


def test_mean_rounds_twice_and_divides_the_multiplier() -> None:
    rng, missed, count = np.random.default_rng(0), 0, 0
    for number in range(ROUNDS):
        height, width, channels = (int(v) for v in rng.integers(1, 12, 3))
        x = Quant((float32(rng.uniform(0.01, 0.1)),), int(rng.integers(-128, 128)))
        y = Quant((float32(x.scale[0] * rng.uniform(0.05, 2)),), int(rng.integers(-128, 128)))
        if number % 4 == 0:
            y = x
        if number % 4 == 1:
            y = Quant((x.scale[0] / 2,), y.zero_point)
        layer = Layer("mean", GlobalAveragePool(), ("input",), (channels,), quant={"output": y})
        network = Network("mean", (height, width, channels), (layer,), x)
        samples = rng.integers(-128, 128, (8, *network.input_shape)).astype(np.int8)
        samples[0], samples[1] = -128, 127
        made = assert_explained(network, samples)
        np.testing.assert_array_equal(twin(network, samples), made)
        sums = (samples.astype(np.int64) - x.zero_point).sum(axis=(1, 2))
        exact = in_float(sums, x.scale[0] / y.scale[0] / (height * width)) + y.zero_point
        missed += int(np.count_nonzero(np.clip(exact, -128, 127) != made))
        count += made.size
    assert count > 2000
    assert missed > 50


@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
@pytest.mark.parametrize("op", ["average_pool2d", "max_pool2d"])
def test_pools_round_as_edgeff(op: str, activation: str) -> None:
    rng = np.random.default_rng(0)
    for number in range(25):
        height, width, channels = (int(v) for v in rng.integers(1, 12, 3))
        size = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
        stride = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        pads = (0, 0, 0, 0)
        if number % 2:
            (top, bottom), (left, right) = same_padding(height, size[0], stride[0]), same_padding(width, size[1], stride[1])
            pads = (top, left, bottom, right)
        builder = Builder((height, width, channels))
        builder.window("pool", op, size, stride, pads, activation=activation)
        q = Quant((float32(rng.uniform(0.01, 0.1)),), int(rng.integers(-128, 128)))
        plain = builder.network()
        layer = Layer("pool", make(op, kind(plain.layers[0]).attributes), ("input",), plain.layers[0].shape, quant={"output": q})
        network = Network("pool", plain.input_shape, (layer,), q)
        samples = rng.integers(-128, 128, (8, *network.input_shape)).astype(np.int8)
        samples[0], samples[1] = -128, 127
        made = assert_explained(network, samples)
        np.testing.assert_array_equal(twin(network, samples), made)
