"""The emitted file: a model, its initialisation, its parameter groups and a small training run."""
