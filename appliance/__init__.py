"""The appliance: everything that runs at the isolated site."""
