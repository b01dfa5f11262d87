"""Tests. Names are sentences; fakes are real files of the real formats, made in code."""
