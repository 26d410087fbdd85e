"""Azure blobs as producers and workers both use them: addresses, errors, sending a file in blocks.

The Azure libraries are imported by the functions that need them, and by nothing before.
"""
