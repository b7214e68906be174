"""Which deployment answers to a model name."""
