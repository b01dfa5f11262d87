"""The contract between bundler and site: formats, reading and verifying.

Knows no network, no torch and, but for `signature`, only the standard library: it runs at
the site before any wheel is installed.
"""
