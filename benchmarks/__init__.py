"""Measurements beside other tools. Nothing here is part of the appliance, and no test depends on it."""
