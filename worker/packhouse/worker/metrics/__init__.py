"""What a worker tells Prometheus: what its processes did, and how the ledger stands."""
