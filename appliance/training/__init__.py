"""LoRA training: rows to packed tokens, one thin Trainer, checkpoints of our own, a worker process."""
