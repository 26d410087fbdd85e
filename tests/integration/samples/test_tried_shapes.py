"""What trying a model before it is packaged finds for its samples: shapes that it runs with."""

from __future__ import annotations

import pytest
from support.sample_models import MADE
from support.sample_packages import REAL, shapes_of, verdict_of

from packhouse.schemas.checks import CheckState, Verdict

PASSED = Verdict(state=CheckState.PASSED, execution_provider="CPUExecutionProvider", ran=True)
FULL = [pytest.param(name, marks=pytest.mark.full) for name in REAL]


@pytest.mark.parametrize("name", [*(name for name in MADE if name != "perhaps"), *FULL])
def test_a_model_runs_before_it_is_packaged_and_its_samples_take_the_shapes(name, packages):
    package = packages(name)
    assert verdict_of(package) == PASSED
    assert shapes_of(package)


def test_where_no_input_can_be_generated_the_samples_know_no_shape(packages):
    verdict = verdict_of(packages("perhaps"))
    assert verdict.state is CheckState.INCONCLUSIVE
    assert "optional(tensor(float))" in (verdict.reason or "")
    assert shapes_of(packages("perhaps")) == {}
