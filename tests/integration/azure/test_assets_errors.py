"""What Azure can answer, as a status says it; and that no secret is in any status or log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.assets import DATA, MODELS, assets_of, code_of, make_heavy, models_of, registrations, secrets_of
from support.azure import AzureStandIn
from support.farm import Farm, RunMaker

from packhouse.schemas import PackageResult, RunFinished

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

ARM = "management"
BLOBS = r"\.blob\."
LOGIN = "login"
MIB = 1 << 20


def result_of(farm: Farm, event: RunFinished) -> PackageResult:
    farm.publish(event)
    return farm.wait_final(event, seconds=90).data.packages[0]


def assert_no_secret(farm: Farm, azure: AzureStandIn) -> None:
    keys = farm.redis.keys(f"{farm.keys.prefix}*")
    told = farm.logs() + "".join(farm.stream(farm.keys.status)) + "".join(farm.stream(farm.keys.progress))
    told += "".join(str(farm.redis.hgetall(key)) for key in keys if farm.redis.type(key) == "hash")
    for secret in (*secrets_of(azure), "sig=", "Bearer ey"):
        assert secret not in told


@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [
        ({"host": ARM, "status": 401, "code": "InvalidAuthenticationToken"}, "azure_sign_in_failed", "AZURE_CLIENT_ID"),
        (
            {"host": ARM, "path": "/datastores", "status": 403, "code": "AuthorizationFailed"},
            "azure_forbidden",
            "workspaces/datastores/read",
        ),
        (
            {"host": ARM, "method": "PUT", "path": "/models/", "status": 403, "code": "AuthorizationFailed"},
            "azure_forbidden",
            "workspaces/models/versions/write",
        ),
        (
            {"host": BLOBS, "method": "PUT", "status": 403, "code": "AuthorizationPermissionMismatch"},
            "azure_forbidden",
            "Storage Blob Data Contributor",
        ),
        ({"host": ARM, "path": "/datastores", "status": 404, "code": "ResourceNotFound"}, "azure_not_found", "doctor"),
        ({"host": ARM, "method": "PUT", "status": 409, "code": "Conflict"}, "azure_refused", "reason"),
        (
            {"host": ARM, "method": "PUT", "status": 400, "code": "ModelAssetPathNotFoundInStorage"},
            "azure_refused",
            "reason",
        ),
        ({"host": LOGIN, "method": "POST", "status": 401, "code": "invalid_client"}, "azure_sign_in_failed", "AZURE_"),
    ],
)
def test_what_will_not_pass_fails_at_once_and_says_what_to_do(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker, fault: dict[str, Any], code: str, told: str
) -> None:
    farm.start()
    with azure.faults.on(**fault, times=None):
        result = result_of(farm, make_run(packages=MODELS, candidates=1))
    assert code_of(result) == code, result.error
    assert result.error is not None
    assert told in result.error.message + result.error.fix
    assert result.attempts == 1
    assert_no_secret(farm, azure)


@pytest.mark.parametrize(
    "fault",
    [
        {"host": ARM, "status": 429, "retry_after": 1, "times": 4},
        {"host": ARM, "path": "/datastores", "status": 503, "times": 3},
        {"host": ARM, "method": "PUT", "status": 500, "times": 3},
        {"host": ARM, "method": "PUT", "cut_response_after": 0, "times": 3},
        {"host": ARM, "method": "GET", "cut_request_after": 0, "times": 4},
        {"host": BLOBS, "method": "PUT", "status": 503, "times": 3},
        {"host": BLOBS, "method": "PUT", "path": "model.onnx", "cut_request_after": 1000, "times": 3},
        {"host": LOGIN, "cut_request_after": 0, "times": 3},
    ],
)
def test_what_may_pass_is_tried_again_until_it_has(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker, fault: dict[str, Any]
) -> None:
    farm.start()
    with azure.faults.on(**fault) as switched:
        result = result_of(farm, make_run(packages=MODELS, candidates=1))
        assert switched.struck == fault["times"]
    assert [asset.version for asset in assets_of(result)] == ["1"]
    assert result.attempts >= 2
    assert_no_secret(farm, azure)


def test_one_answer_that_asks_to_wait_costs_no_attempt(farm: Farm, azure: AzureStandIn, make_run: RunMaker) -> None:
    farm.start()
    with azure.faults.on(host=ARM, method="PUT", status=429, retry_after=1):
        result = result_of(farm, make_run(packages=DATA, candidates=1))
    assert assets_of(result)
    assert result.attempts == 1
    assert result.seconds is not None
    assert result.seconds >= 1


@pytest.mark.parametrize("where", [ARM, LOGIN, BLOBS])
def test_what_does_not_pass_fails_in_the_end_with_the_reason(
    farm_of: Callable[..., Farm], azure: AzureStandIn, make_run: RunMaker, where: str
) -> None:
    # A busy sign-in is asked again after a minute, which is not waited for here.
    attempts = 1 if where == LOGIN else 2
    farm = farm_of(PACKHOUSE_RETRY_LIMIT=str(attempts))
    farm.start()
    with azure.faults.on(host=where, status=503, code="ServerBusy", message="Too busy.", times=None):
        result = result_of(farm, make_run(packages=MODELS, candidates=1))
    assert code_of(result) == "azure_unavailable"
    assert result.error is not None
    assert "503" in result.error.message
    assert result.attempts == attempts


def test_a_signature_that_runs_out_in_mid_upload_is_replaced(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker
) -> None:
    azure.remote.datastores("Sas", sas_seconds=6)
    event = make_run(packages=MODELS, candidates=1)
    make_heavy(models_of(event)[0], 40 * MIB)
    farm.start()
    with azure.faults.on(host=BLOBS, method="PUT", path="comp=block&", skip=2, times=4, delay=8):
        result = result_of(farm, event)
    assert assets_of(result)
    assert len(registrations(azure.requests)) == 1
    assert_no_secret(farm, azure)


@pytest.mark.parametrize("credentials", ["Sas", "AccountKey"])
def test_a_refused_secret_of_the_datastore_is_not_told(
    farm_of: Callable[..., Farm], azure: AzureStandIn, make_run: RunMaker, credentials: str
) -> None:
    azure.remote.datastores(credentials)
    farm = farm_of(PACKHOUSE_RETRY_LIMIT="2")
    farm.start()
    with azure.faults.on(host=BLOBS, status=403, code="AuthenticationFailed", times=None):
        result = result_of(farm, make_run(packages=MODELS, candidates=1))
    assert code_of(result) == "azure_forbidden"
    assert_no_secret(farm, azure)
