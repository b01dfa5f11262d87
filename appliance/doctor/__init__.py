"""`islet doctor`: is this site in order, from the stored files to two real training steps.

Every check runs, whatever the others found; what is wrong is said with why and next.
"""
