"""TFLite files. ``reader`` and ``writer`` are the two ways; the rest is what they share."""
