"""A defect fails its package, and what libraries say of it is told without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.farm import RunMaker
from support.ledger import open_alone

from packhouse.schemas import STATUS_EVENT, CompletedEvent, run_key
from packhouse.worker import service
from packhouse.worker.azure.access import Azure
from packhouse.worker.context import Context
from packhouse.worker.identity import Identity
from packhouse.worker.ledger import Arrival, Ledger, connect
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.settings import Settings
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.storage import Storage


def test_a_defect_fails_its_package_and_tells_no_signature(
    redis_url: str,
    namespace: str,
    tmp_path: Path,
    make_run: RunMaker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_type: object) -> None:
        raise RuntimeError("GET https://a.blob.core.windows.net/c/b?sv=1&sig=SIGNATURE failed")

    monkeypatch.setattr(service, "packager_of", broken)
    settings = Settings(redis_url=redis_url, namespace=namespace, roots=(str(tmp_path),))
    redis = connect(redis_url, patient=False)
    ledger = Ledger(redis, settings)
    context = Context(
        runtimes=RuntimeStore(settings),
        settings=settings,
        ledger=ledger,
        storage=Storage(Roots(settings.roots)),
        azure=Azure(settings),
        identity=Identity.of_worker("w1@test"),
        wake=lambda _: None,
    )
    event = make_run()
    arrival = Arrival(event.run, event.id, event.content_digest, event.to_wire().decode())
    open_alone(ledger, arrival)
    service.run_finished(context, run_key(event.run))
    with pytest.raises(service.JobFailed):
        service.package(context, run_key(event.run), "0")
    final = STATUS_EVENT.validate_json(str(redis.get(ledger.keys.final(event.run))))
    redis.close()
    assert isinstance(final, CompletedEvent)
    error = final.data.packages[0].error
    assert error is not None
    assert (error.code, "sig=…" in error.message) == ("internal_error", True)
    assert "SIGNATURE" not in final.model_dump_json()
    assert "RuntimeError" in caplog.text
    assert "SIGNATURE" not in caplog.text
