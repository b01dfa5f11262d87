"""The box: preflight, store, install, switch, audit."""
