"""What stands in for Azure on one machine: sign-in, workspaces and blobs, reached by the unmodified SDK."""
