"""Questions answered before and after, and what the answers are worth."""
