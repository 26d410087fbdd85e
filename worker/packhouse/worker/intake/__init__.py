"""From the run queue into the ledger."""
