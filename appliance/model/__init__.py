"""The base model: finding, judging and loading it. Torch is imported inside functions only."""
