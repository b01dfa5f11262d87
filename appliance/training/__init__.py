"""From a plan and a data set to an adapter: the worker, the trainer, checkpoints."""
