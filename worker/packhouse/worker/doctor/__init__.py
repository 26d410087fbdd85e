"""``packhouse doctor``: what is wrong with a worker's surroundings, and what to do about it."""
