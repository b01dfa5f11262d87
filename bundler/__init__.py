"""The bundler: the connected side, from a manifest to a signed folder. Never runs at the site."""
