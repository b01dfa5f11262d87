"""Reading data sets in the formats people have, into one canonical form, with every problem reported."""
