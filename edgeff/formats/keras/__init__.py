"""Keras files, read through TensorFlow's own converter."""

ARCHIVE, HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
"""How a zip archive and an HDF5 file begin."""
