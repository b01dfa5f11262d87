"""Loading base models and tokenizers: offline, safetensors only, never remote code."""
