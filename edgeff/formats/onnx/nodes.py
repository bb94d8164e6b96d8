"""The table of the ONNX operators that edgeff reads; what each means is in onnx_dense, onnx_images, onnx_moves and onnx_quantised."""

from __future__ import annotations

from edgeff.formats.onnx import dense as onnx_dense
from edgeff.formats.onnx import images as onnx_images
from edgeff.formats.onnx import moves as onnx_moves
from edgeff.formats.onnx import quantised as onnx_quantised

HANDLERS = onnx_dense.HANDLERS | onnx_images.HANDLERS | onnx_moves.HANDLERS | onnx_quantised.HANDLERS
