"""Asking the plan's questions before and after training, and judging the answers."""
