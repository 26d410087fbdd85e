"""Looking at a package from the outside: whether it is what it claims to be. Nothing in it is trusted."""
