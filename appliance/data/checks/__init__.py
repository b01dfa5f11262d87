"""Checks of rows: small modules that each look at a stream of rows once and keep hashes, never text."""
