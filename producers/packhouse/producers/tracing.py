"""The trace that a run belongs to: the engine's own, where it has one."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from typing import Final

from packhouse.schemas.events import RunFinished

TRACEPARENT: Final = "traceparent"
"""The attribute of an event: CloudEvents' extension Distributed Tracing, its value as W3C Trace Context has it."""


@contextlib.contextmanager
def tracing(event: RunFinished) -> Generator[RunFinished, None, None]:
    """The event, with the trace it belongs to.

    That is what it says itself; else a span of OpenTelemetry, if the engine has loaded that; else what the environment
    variable ``TRACEPARENT`` says, as command lines hand it on.
    """
    if TRACEPARENT in (event.__pydantic_extra__ or {}):
        yield event
    elif "opentelemetry.trace" in sys.modules:
        yield from _spanned(event)
    else:
        yield _with(event, os.environ.get(TRACEPARENT.upper()))


def _spanned(event: RunFinished) -> Generator[RunFinished, None, None]:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    names = {"packhouse.run": event.subject, "packhouse.source": event.source}
    tracer = trace.get_tracer("packhouse")
    with tracer.start_as_current_span("publish", kind=trace.SpanKind.PRODUCER, attributes=names):
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        yield _with(event, carrier.get(TRACEPARENT) or os.environ.get(TRACEPARENT.upper()))


def _with(event: RunFinished, parent: str | None) -> RunFinished:
    return event.model_copy(update={TRACEPARENT: parent}) if parent else event
