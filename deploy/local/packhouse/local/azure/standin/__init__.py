"""The server that answers as sign-in, as Azure ML and, with Azurite behind it, as blob storage."""
