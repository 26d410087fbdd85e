"""The folder ``ONNXRuntimePackages``: the runtimes that the engine measured the candidates with, fetched and kept."""
