# pyright: reportMissingImports=false
"""Opens folders with real MLflow, in an environment that has it: run by ``support.real_mlflow``, never imported.

Standard input: a JSON list of folders, each with a file ``inputs.npz`` beside it. Standard output: JSON about each.
"""

import json
import logging
import sys
from pathlib import Path

import mlflow.onnx
import mlflow.pyfunc
import numpy as np
import onnx
from mlflow.models import Model
from mlflow.utils.environment import _PythonEnv


def plain(value):
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.name, "shape": list(value.shape), "values": value.ravel().tolist()}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def told(folder):
    with np.load(folder.parent / "inputs.npz") as stored:
        inputs = {name: stored[name] for name in stored.files}
    graph = mlflow.onnx.load_model(str(folder))
    onnx.checker.check_model(graph)
    pyfunc = mlflow.pyfunc.load_model(str(folder))
    meta = Model.load(str(folder))
    return {
        "outputs": plain(pyfunc.predict(inputs)),
        "providers": meta.flavors["onnx"]["providers"],
        "threads": pyfunc._model_impl.get_raw_model().get_session_options().intra_op_num_threads,
        "signature": meta.signature
        and {
            side: schema and [[one.name, one.type.name, list(one.shape)] for one in schema.inputs]
            for side, schema in (("inputs", meta.signature.inputs), ("outputs", meta.signature.outputs))
        },
        "created": meta.utc_time_created,
        "uuid": meta.model_uuid,
        "requirements": Path(mlflow.pyfunc.get_model_dependencies(str(folder))).read_text(),
        "python": _PythonEnv.from_yaml(str(folder / "python_env.yaml")).python,
        "conda": _PythonEnv.from_conda_yaml(str(folder / "conda.yaml")).to_dict(),
    }


logging.disable(logging.WARNING)
json.dump([told(Path(folder)) for folder in json.load(sys.stdin)], sys.stdout)
