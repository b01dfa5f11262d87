"""What demo and tests bring themselves: a tiny model, made-up data, a loopback Hub, a conda channel."""
