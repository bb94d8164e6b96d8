"""Keras files, read through TensorFlow's own converter."""
