"""TFLite files. ``reader`` and ``writer`` are the two directions; the rest is shared."""

IDENTIFIER = b"TFL3"
"""Bytes 4 to 7 of every TFLite file."""
METADATA_NAME = "edgeff"
"""Name of the metadata buffer that holds edgeff's own description."""
TRAINING_NAME = "edgeff.training"
"""Name of the metadata buffer of a file that learns: JSON of the rule, its settings and what else the signatures do not say."""
