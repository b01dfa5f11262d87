"""The steps of the journey, a module for each stretch of it."""
