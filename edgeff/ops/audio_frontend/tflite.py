"""The audio front end in TFLite: a chain of custom operators of TFLM's signal library, read by ``edgeff.formats.tflite.audio``."""

from __future__ import annotations

import numpy as np

from edgeff.errors import Unsupported, short
from edgeff.formats.tflite.audio import TO_INT8
from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Array, Layer
from edgeff.ops import record
from edgeff.ops.audio_frontend import AudioFrontend
from edgeff.ops.audio_frontend.kernel import LOG_SCALE
from edgeff.ops.audio_frontend.tables import (
    GAIN_BITS,
    SHARE_BITS,
    SMOOTHING_BITS,
    SNR_BITS,
    WINDOW_BITS,
    bank,
    correction_bits,
    gains,
    window,
)


def write(graph: Graph, layer: Layer) -> None:
    """Adds the operators of one frame an inference. Raises Unsupported for a layer of several frames, whose noise TFLM keeps within."""
    op = record(layer, AudioFrontend)
    if graph.network.input_shape != (op.frame,):
        where = f"layer {short(layer.name)}, {layer.kind}"
        raise Unsupported(where, got=f"an input of {graph.network.input_shape}", allowed=f"one frame, ({op.frame},), in TFLite files")
    if graph.int8 and op.gain != AudioFrontend.gain:
        where = f"layer {short(layer.name)}, {layer.kind} in int8"
        raise Unsupported(where, got=f"gain {op.gain:g}", allowed=f"{AudioFrontend.gain:g} in TFLite files, which hold integers alone")
    features = _Chain(graph, layer, op).features()
    graph.reshaped(features, graph.output(layer), f"{layer.name}.shape", layer.shape)


class _Chain:
    def __init__(self, graph: Graph, layer: Layer, op: AudioFrontend) -> None:
        self.graph, self.layer, self.op = graph, layer, op

    def made(self, what: str, dtype: str, *shape: int) -> int:
        return self.graph.bare(f"{self.layer.name}.{what}", dtype, shape)

    def given(self, what: str, values: Array | list[int] | int, dtype: str) -> int:
        return self.graph.constant(f"{self.layer.name}.{what}", np.array(values, dtype))

    def features(self) -> int:
        """The tensor (bands,) of the features, int8 or float32."""
        graph, op = self.graph, self.op
        samples, bins, bands, correction = op.frame, op.fft // 2 + 1, op.bands, correction_bits(op.fft)
        windowed = self.made("windowed", "int16", 1, samples)
        graph.custom(
            "SignalWindow", [graph.source(self.layer), self.given("window", window(samples), "int16")], [windowed], shift=WINDOW_BITS
        )
        flat = self.made("flat", "int16", samples)
        graph.operator("RESHAPE", [windowed, self.given("flat.shape", [-1], "int32")], flat, "ReshapeOptions", version=1, newShape=[-1])
        scaled, shift = graph.custom("SignalFftAutoScale", [flat], [self.made("scaled", "int16", samples), self.made("bits", "int32")])
        (spectrum,) = graph.custom("SignalRfft", [scaled], [self.made("spectrum", "int16", 2 * bins)], T=7, fft_length=op.fft)
        channels = self._channels(self._energy(spectrum, bins), shift)
        share, odd, least = (int(each * 2**SHARE_BITS) for each in (op.smoothing, op.odd_smoothing, op.remaining))
        signal = graph.custom(
            "SignalFilterBankSpectralSubtraction",
            [channels],
            [self.made("signal", "uint32", bands), self.made("noise", "uint32", bands)],
            num_channels=bands,
            smoothing=share,
            one_minus_smoothing=2**SHARE_BITS - share,
            alternate_smoothing=odd,
            alternate_one_minus_smoothing=2**SHARE_BITS - odd,
            smoothing_bits=SMOOTHING_BITS,
            min_signal_remaining=least,
            clamping=0,
            spectral_subtraction_bits=SHARE_BITS,
        )
        table = self.given("gains", gains(op.fft, op.pcan_strength, op.pcan_offset), "int16")
        pcan = [self.made("pcan", "uint32", bands)]
        graph.custom("SignalPCAN", [*signal, table], pcan, snr_shift=GAIN_BITS - correction - SNR_BITS)
        logs = [self.made("logs", "int16", bands)]
        graph.custom("SignalFilterBankLog", pcan, logs, input_correction_bits=correction, output_scale=LOG_SCALE)
        return self._whole(logs[0]) if graph.int8 else self._real(logs[0])

    def _energy(self, spectrum: int, bins: int) -> int:
        """The energies of the bins, zeros where no band has a weight."""
        graph, op = self.graph, self.op
        _, bounds = bank(op.rate, op.fft, op.bands, op.low_hz, op.high_hz)
        first, last = int(bounds[0]), int(bounds[-1])
        (energy,) = graph.custom("SignalEnergy", [spectrum], [self.made("energy", "uint32", bins)], start_index=first, end_index=last)
        signed = self._cast(energy, "signed", "int32", bins)
        ends = [self.given(what, [value], "int32") for what, value in (("first", first), ("last", last), ("step", 1))]
        kept = self.made("kept", "int32", last - first)
        graph.operator("STRIDED_SLICE", [signed, *ends], kept, "StridedSliceOptions", version=1)
        zeros = [self.given(what, [0] * count, "int32") for what, count in (("below", first), ("above", bins - last))]
        joined = self.made("joined", "int32", bins)
        graph.operator("CONCATENATION", [zeros[0], kept, zeros[1]], joined, "ConcatenationOptions", version=1, axis=0)
        return self._cast(joined, "unsigned", "uint32", bins)

    def _channels(self, energy: int, shift: int) -> int:
        graph, op = self.graph, self.op
        weights, bounds = bank(op.rate, op.fft, op.bands, op.low_hz, op.high_hz)
        starts, widths = bounds[:-1], np.diff(bounds)
        tables = {"weights": weights[:, 0], "unweights": weights[:, 1], "starts": starts, "places": starts - bounds[0], "widths": widths}
        constants = [self.given(what, values, "int16") for what, values in tables.items()]
        sums = [self.made("sums", "uint64", op.bands)]
        graph.custom("SignalFilterBank", [energy, *constants], sums, num_channels=op.bands)
        (roots,) = graph.custom("SignalFilterBankSquareRoot", [*sums, shift], [self.made("roots", "uint32", op.bands)])
        return roots

    def _cast(self, source: int, what: str, dtype: str, size: int) -> int:
        return self.graph.operator("CAST", [source], self.made(what, dtype, size), version=1)

    def _real(self, logs: int) -> int:
        factor = self.given("gain", np.array(self.op.gain), "float32")
        real = self._cast(logs, "real", "float32", self.op.bands)
        return self.graph.operator("MUL", [real, factor], self.made("features", "float32", self.op.bands), "MulOptions", version=1)

    def _whole(self, logs: int) -> int:
        x = self._cast(logs, "wide", "int32", self.op.bands)
        for op, number in TO_INT8:
            what, options = f"{op.lower()}_{number}", "" if op in ("MINIMUM", "MAXIMUM") else f"{op.capitalize()}Options"
            inputs = [x, self.given(f"{what}.number", number, "int32")]
            x = self.graph.operator(op, inputs, self.made(what, "int32", self.op.bands), options, version=1)
        return self._cast(x, "features", "int8", self.op.bands)
