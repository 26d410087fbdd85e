"""Where bytes come from and go to: safe opening below the storage roots, and the writers."""
