"""``SampleCode``: programs that run the best candidate of a run, made from its own signature."""
