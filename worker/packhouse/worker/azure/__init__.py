"""Azure Machine Learning: signing in, finding the workspace and its datastores, registering assets.

The Azure libraries take seconds and a hundred megabytes to import: only functions that talk to Azure import them.
"""
