from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.local_stack import Up
from support.readme import example

from packhouse.producers import StatusFeed
from packhouse.schemas import CompletedEvent, Keys, RunRef

pytestmark = pytest.mark.slow


def test_what_the_readme_shows_packages_a_real_run(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "olive"
    shutil.copytree(data / "olive-0.13.0-search", run)
    program = example("producer").replace("/srv/olive/output_dir", str(run / "output_dir"))
    with Up(tmp_path, "--no-flower", "--map", f"/srv/olive={run}", "--map", f"/srv/engine={run}") as up:
        program = program.replace("redis://127.0.0.1:6379/0", up.redis_url)
        shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
        assert (shown.returncode, shown.stdout) == (0, "succeeded\n"), shown.stderr
        assert (run / "output_dir/digits.zip").exists()

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
