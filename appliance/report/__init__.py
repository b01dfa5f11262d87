"""The report of a run: what went in, what came out, what was measured, for a person to sign.

It reads the run folder and what the site says of itself, computes nothing anew but hashes, and
changes nothing but `report/`.
"""
