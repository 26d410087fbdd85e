"""Traces: spans of OpenTelemetry that follow a run through every process, where ``PACKHOUSE_TRACES`` asks for them.

The event of a run may carry a ``traceparent`` (W3C Trace Context; the CloudEvents extension Distributed Tracing). Spans
of the run are its children, or a new trace where there is none, and every status event of the run carries the one that
it goes on with.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Generator, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from packhouse.schemas.errors import ErrorCode, PermanentError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

OTLP: Final = "otlp"
TRACEPARENT: Final = "traceparent"

_PARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_FLUSH_MS: Final = 3000


def parent_in(value: object) -> str | None:
    """A ``traceparent`` that is one."""
    return value if isinstance(value, str) and _PARENT.fullmatch(value) else None


class Span:
    """What goes on. Nothing where traces are off."""

    traceparent: str | None = None
    """What its children name as their parent."""
    trace_id: str | None = None

    def set(self, **attributes: Any) -> None:
        """More is known of it."""

    def failed(self, reason: str) -> None:
        """It did not do what it should."""

    @contextlib.contextmanager
    def part(self, name: str) -> Generator[None, None, None]:
        """A part of it."""
        del name
        yield


class Tracer:
    """Begins spans. This one does nothing: traces are off."""

    on = False

    @contextlib.contextmanager
    def span(self, name: str, parent: str | None, **attributes: Any) -> Generator[Span, None, None]:
        """Something that an event or a wake-up has caused, below the span that is named as its parent."""
        del name, parent, attributes
        yield Span()

    def flush(self) -> None:
        """Send what has not been sent, if that is quick."""


class _Live(Span):
    def __init__(self, tracer: Any, span: Any) -> None:
        self._tracer, self._span = tracer, span
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.traceparent = f"00-{self.trace_id}-{context.span_id:016x}-{context.trace_flags:02x}"
        self.has_failed = False

    def set(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(f"packhouse.{name}", value)

    def failed(self, reason: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self.has_failed = True
        self._span.set_status(Status(StatusCode.ERROR, reason))

    @contextlib.contextmanager
    def part(self, name: str) -> Generator[None, None, None]:
        from opentelemetry.trace import set_span_in_context

        with self._tracer.start_as_current_span(name, context=set_span_in_context(self._span)):
            yield


class _Tracing(Tracer):
    on = True

    def __init__(self, target: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "packhouse-worker", "service.version": version("packhouse")}),
            shutdown_on_exit=False,
        )
        if target == OTLP:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=1000))
        else:
            self._provider.add_span_processor(SimpleSpanProcessor(_lines_in(Path(target))))
        self._tracer = self._provider.get_tracer("packhouse")

    @contextlib.contextmanager
    def span(self, name: str, parent: str | None, **attributes: Any) -> Generator[Span, None, None]:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({TRACEPARENT: parent} if parent else {}, Context())
        # An exception at the end only shows in Flower what the span has been told before, by its code.
        started_span = self._tracer.start_as_current_span(
            name, context=context, kind=SpanKind.CONSUMER, record_exception=False, set_status_on_exception=False
        )
        with started_span as started:
            live = _Live(self._tracer, started)
            live.set(**attributes)
            try:
                yield live
            except Exception as error:
                if not live.has_failed:
                    live.failed(type(error).__name__)
                raise

    def flush(self) -> None:
        self._provider.force_flush(_FLUSH_MS)


def tracer(target: str | None) -> Tracer:
    """That of this process. Raises ``PermanentError`` where OpenTelemetry is asked for and not installed."""
    return _tracer_of(target, os.getpid()) if target else Tracer()


@cache
def _tracer_of(target: str, _pid: int) -> Tracer:
    try:
        return _Tracing(target)
    except ImportError as error:
        raise PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            f"PACKHOUSE_TRACES is {target}, and OpenTelemetry is not installed ({error}).",
            fix='Install packhouse with the extra "tracing", or set no PACKHOUSE_TRACES.',
        ) from None


def _lines_in(file: Path) -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Lines(SpanExporter):
        """A line of JSON for each span. Lines are appended whole, so processes may share the file."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            text = "".join(f"{span.to_json(indent=None)}\n" for span in spans)
            try:
                with file.open("ab", buffering=0) as out:
                    out.write(text.encode())
            except OSError:
                return SpanExportResult.FAILURE
            return SpanExportResult.SUCCESS

    return Lines()
