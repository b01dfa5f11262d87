"""What is looked at on a box, each part by itself; `appliance.site.preflight` puts the findings together.

Looks, changes nothing, needs the standard library only: it runs before any wheel is installed.
"""
