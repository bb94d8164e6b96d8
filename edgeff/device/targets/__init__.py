"""What runs the generated C: one target a file. ``unicorn`` runs firmware on an emulated core."""
