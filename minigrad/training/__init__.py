"""What surrounds a model while it learns: the loop, metrics, progress, the run directory, checkpoints and loss curves."""
