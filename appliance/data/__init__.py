"""Reading data sets: every format to canonical rows, every bad row reported. No torch, no transformers."""
