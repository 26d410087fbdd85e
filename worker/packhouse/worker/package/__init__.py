"""What goes into a package: the tree and its parts. Pure layout; weights are referred to, never read."""
