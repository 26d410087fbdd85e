from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from packhouse.worker.logs import about, set_up

log = logging.getLogger("packhouse.test")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def logged(kind: str) -> io.StringIO:
    stream = io.StringIO()
    set_up(kind, "INFO", "zip@host", stream)
    return stream


def test_json_is_one_object_a_line_with_all_that_is_known() -> None:
    stream = logged("json")
    with about(run="run-1", job="0", attempt=2), about(package="Zipfile digits", trace_id=None):
        log.warning("wrote %d bytes\nof \x1b[2J%s", 7, "\N{RIGHT-TO-LEFT OVERRIDE}")
    log.info("idle")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["message"] == "wrote 7 bytes\nof \x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}"
    assert (first["level"], first["logger"], first["worker"]) == ("WARNING", "packhouse.test", "zip@host")
    assert (first["run"], first["job"], first["attempt"], first["package"]) == ("run-1", "0", 2, "Zipfile digits")
    assert first["time"].endswith("Z")
    assert "trace_id" not in first
    assert "run" not in second
    assert stream.getvalue().isascii()


def test_text_is_a_line_that_names_the_job_and_commands_nothing() -> None:
    stream = logged("text")
    with about(run="run\x9b-1", job="0"):
        log.warning("bad name \x1b[2J in\nfake line")
    text = stream.getvalue()
    assert "[run[U+009B]-1 0] bad name [U+001B][2J in\n    fake line" in text
    assert "\x1b" not in text


def test_auto_is_json_where_nobody_looks_on() -> None:
    stream = logged("auto")
    log.info("x")
    assert json.loads(stream.getvalue())["message"] == "x"


@pytest.mark.parametrize("kind", ["json", "text"])
def test_passwords_and_signatures_are_left_out_of_messages_and_tracebacks(kind: str) -> None:
    stream = logged(kind)
    address = "redis://worker:s3cret@redis:6379/0 and https://a.blob.core.windows.net/c/b?sv=1&sig=c2VjcmV0"
    try:
        int(address)
    except ValueError:
        log.exception("cannot reach %s", address)
    text = stream.getvalue()
    assert "s3cret" not in text
    assert "c2VjcmV0" not in text
    assert "redis:6379" in text
    assert "ValueError" in text
