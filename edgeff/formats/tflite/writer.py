"""Network -> TFLite: a file for LiteRT and for TFLM, the interpreter that boards run.

In goes a float32 or int8 network, or one with int16 activations and int8 weights; out come the bytes of a flatbuffer with batch 1 (shape
signature -1). A batch normalisation is folded first; then each layer becomes its operator (``ops/<op>/tflite.py``), its activation function
fused in. Padding is SAME or VALID if that expresses it, else a PAD (PADV2 with the lowest number before a maximum) and VALID; a conv1d is a
CONV_2D between two RESHAPEs; normalise (float only) is MUL, MEAN, SQRT, ADD and DIV, label (neutral, float only) PADV2. Input and output of
an integer network are integer tensors. Tensors are named after their layers. What TFLite cannot express is JSON in the metadata buffer
``edgeff``: {"network": formats.description, "metadata": ..}.

Refused: int8 normalise and label, an average pool whose padding is neither SAME nor VALID, int16 weights, operators without a writer.

Operator versions are those of TensorFlow's op_version.cc: 1 for float; for int8 FULLY_CONNECTED 4, CONV_2D and DEPTHWISE_CONV_2D 3, RESHAPE
and QUANTIZE 1, all others 2. Established by running every version of FULLY_CONNECTED from 1 to 16 (tflite-micro 0.dev20261023,
ai-edge-litert 2.3.0; float, int8 per tensor and int8 per channel, with a bias and without one): TFLM looks at no operator version and runs
all of them, per-channel int8 weights included; LiteRT's resolvers, BUILTIN_REF among them, take 1 to 14 and refuse 15 up ("Didn't find
op .. version"), and the version changes no result: per-channel int8 runs at every version that is taken. A missing bias is input -1 (or two
inputs) for both.
"""

from __future__ import annotations

from pathlib import Path

from edgeff.formats import conventions, description, operators
from edgeff.formats.files import write_file
from edgeff.formats.tflite.graph import Graph
from edgeff.ir import Network
from edgeff.ops.canonical import canonical


def to_tflite(network: Network) -> bytes:
    """The TFLite file of ``network``; the same network gives the same bytes. Raises BadInput or Unsupported as the module's docstring
    says.
    """
    network = canonical(network)
    write = operators.writers(network, "tflite", "TFLite")
    conventions.check(network, bias_scale_unused=True)
    graph = Graph(network)
    for layer in network:
        write[layer.kind](graph, layer)
    record = {"network": description.describe(network), "metadata": dict(network.metadata)}
    return graph.finish(description.to_json(record, f"metadata of network {conventions.short(network.name)}").encode("ascii"))


def write_tflite(network: Network, path: Path | str) -> Path:
    """Writes the TFLite file of ``network`` and returns ``path``. Raises BadInput if it cannot be written."""
    return write_file(Path(path), to_tflite(network))
