"""The table of the ONNX operators that edgeff reads; what each means is in onnx_dense, onnx_images, onnx_moves and onnx_quantised."""

from __future__ import annotations

from edgeff.importers import onnx_dense, onnx_images, onnx_moves, onnx_quantised

HANDLERS = onnx_dense.HANDLERS | onnx_images.HANDLERS | onnx_moves.HANDLERS | onnx_quantised.HANDLERS
