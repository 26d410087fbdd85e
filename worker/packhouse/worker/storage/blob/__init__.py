"""Azure Blob Storage. The Azure libraries are imported only by functions that talk to Azure."""
