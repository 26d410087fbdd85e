"""Reading a model without trusting it: which files make it up, and whether they are there."""
