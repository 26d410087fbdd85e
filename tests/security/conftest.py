"""The gallery of attacks, one for each file of tests."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from support.farm import Farm
from support.gallery import MARK, Gallery

from packhouse.worker.settings import Settings


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[Gallery]:
    base = tmp_path_factory.mktemp("attacks")
    root, outside = base / "root", base / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(MARK * 10)
    settings = Settings(
        redis_url=redis_server,
        namespace=f"test-{uuid.uuid4().hex[:12]}",
        roots=(str(root),),
        sweep_seconds=0.3,
        retry_seconds=0.05,
        retry_limit=3,
        check_seconds=5,
    )
    farm = Farm(settings, base)
    farm.extra["PACKHOUSE_CHECK_SECONDS"] = "5"
    if os.geteuid() == 0:
        farm.prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    farm.start()
    yield Gallery(farm, root, outside)
    farm.close()
