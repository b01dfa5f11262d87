"""The tables of attacks: one module a family, a dictionary from a sentence to what is done and answered.

`case` has the attack and both judges. `tests/test_attacks.py` runs a representative part of them all,
`tests/campaign.py` everything.
"""
