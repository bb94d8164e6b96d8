"""TFLite files. ``reader`` and ``writer`` are the two ways; the rest is what they share."""

IDENTIFIER = b"TFL3"
"""Bytes 4 to 7 of every TFLite file."""
METADATA_NAME = "edgeff"
"""Of the metadata buffer that holds edgeff's own description."""
