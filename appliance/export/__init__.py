"""From an adapter to files that other engines load: merge, GGUF, Modelfile, parity."""
