"""TFLite files. ``reader`` and ``writer`` are the two directions; the rest is shared."""

IDENTIFIER = b"TFL3"
"""Bytes 4 to 7 of every TFLite file."""
METADATA_NAME = "edgeff"
"""Name of the metadata buffer that holds edgeff's own description."""
