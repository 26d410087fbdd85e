"""Run inside Olive's own environment: opens model configs from standard input with Olive's own ``ModelConfig``."""

import json
import sys


def outputs(handler):
    """What a handler holds, in JSON."""
    if hasattr(handler, "get_model_components"):
        return {name: outputs(component) for name, component in handler.get_model_components()}
    if type(handler).__name__ != "ONNXModelHandler":
        return type(handler).__name__
    # Olive cannot load into memory what it made for a session that is given initializers: it has a session only.
    assert handler.external_initializers_path or handler.load_model().graph.node
    cpu = {"execution_provider": ["CPUExecutionProvider"], "provider_options": None}
    session = handler.prepare_session(inference_settings={**(handler.inference_settings or {}), **cpu})
    return [output.name for output in session.get_outputs()]


def main():
    """The configs as a JSON list on standard input, what they hold as one on standard output."""
    from olive.model import ModelConfig  # pyright: ignore[reportMissingImports] -- in its own environment only

    found = [outputs(ModelConfig(**config).create_model()) for config in json.load(sys.stdin)]
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
