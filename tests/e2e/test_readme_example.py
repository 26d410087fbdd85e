from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.local_stack import Up
from support.readme import README, example

from packhouse.producers import StatusFeed
from packhouse.schemas import CompletedEvent, Keys, RunRef

pytestmark = pytest.mark.slow
GUIDE = README.parent / "deploy" / "guides" / "connect-an-engine.md"


def test_what_readme_and_guide_show_packages_a_real_run(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "olive"
    shutil.copytree(data / "olive-0.13.0-search", run)
    with Up(tmp_path, "--no-flower", "--map", f"/srv/olive={run}", "--map", f"/srv/engine={run}") as up:
        for shown_program in (example("producer"), example("engine", GUIDE)):
            program = shown_program.replace("redis://127.0.0.1:6379/0", up.redis_url)
            program = program.replace("/srv/olive/output_dir", str(run / "output_dir"))
            shown = subprocess.run(
                [sys.executable, "-c", program], env=os.environ | {"PACKHOUSE_REDIS_URL": up.redis_url},
                capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert (shown.returncode, shown.stdout) == (0, "succeeded\n"), shown.stderr
            (run / "output_dir/digits.zip").unlink()

        event = json.loads(example("event"))
        (run / "cache/quantized.onnx").symlink_to(run / "models/digits_mlp.onnx")
        event["subject"] = "another"
        (run / "output").mkdir()
        with up.redis() as redis, StatusFeed(up.redis_url) as feed:
            redis.xadd(Keys().run_queue, {"event": json.dumps(event)})
            final = feed.wait(RunRef(source=event["source"], id="another"), timeout=60)
        assert isinstance(final, CompletedEvent)
        assert final.data.state == "succeeded", final
        assert (run / "output/digits.zip").exists()
