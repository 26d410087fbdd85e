"""The embedded stack: a Redis-compatible server, workers and Flower on one machine."""
