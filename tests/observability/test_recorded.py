"""A span of ours that is exported is the one that OpenTelemetry's SDK would have made."""

import json
import threading

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, SamplingResult

from agentinfra.observability.redaction import Redactor
from agentinfra.observability.traces.export import exportable
from agentinfra.observability.traces.recorded import Recorder

ABOVE = trace.SpanContext(
    trace_id=1 << 100,
    span_id=7,
    is_remote=True,
    trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    trace_state=trace.TraceState([("vendor", "x")]),
)


class Both:
    """The SDK's tracer and ours, with what each of them has sent."""

    def __init__(self, sampler=ALWAYS_ON):
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.sent = (InMemorySpanExporter(), InMemorySpanExporter())
        provider.add_span_processor(SimpleSpanProcessor(self.sent[0]))
        ours = Recorder(
            "agentinfra",
            sampler=provider.sampler,
            resource=provider.resource,
            processor=SimpleSpanProcessor(self.sent[1]),
        )
        self.tracers = (provider.get_tracer("agentinfra"), ours)

    def do(self, work, context=None):
        """Start a span with each, do something with it; return what they show of those sent."""
        for tracer in self.tracers:
            span = tracer.start_span("chat", context or trace.Context(), trace.SpanKind.CLIENT)
            work(span)
            span.end(end_time=2_000_000_000)
        return [shown(sent.get_finished_spans()) for sent in self.sent]


def shown(spans):
    """Return what is read of spans, without what differs from one to the next."""
    read = []
    for span in spans:
        told = json.loads(span.to_json())
        told.pop("start_time")
        if told["parent_id"] is None:
            told["context"].pop("trace_id")
        told["context"].pop("span_id")
        for event in told["events"]:
            event.pop("timestamp")
        told["scope"] = str(span.instrumentation_scope)
        told["dropped"] = (span.dropped_attributes, span.dropped_events, span.dropped_links)
        told["flags"] = int(span.context.trace_flags)
        read.append(told)
    return read


def nothing(span):
    pass


def attributes(span):
    span.set_attribute("one", 1)
    span.set_attributes({"list": ["a", "b"], "mixed": ["a", 1], "": "no name", "odd": object()})
    span.set_attribute("one", 2)


def many_attributes(span):
    span.set_attributes({f"key{number}": number for number in range(200)})


def events(span):
    span.add_event("first", {"a": 1})
    span.add_event("second")
    for number in range(200):
        span.add_event(f"event{number}")


def links(span):
    span.add_link(ABOVE, {"why": "it began there"})


def renamed(span):
    span.update_name("embeddings")


def failed(span):
    span.set_status(trace.StatusCode.ERROR, "it broke")
    span.set_status(trace.StatusCode.UNSET)


def well_for_good(span):
    span.set_status(trace.Status(trace.StatusCode.OK))
    span.set_status(trace.StatusCode.ERROR, "too late")


def used_after_its_end(span):
    span.end(end_time=2_000_000_000)
    span.set_attribute("late", 1)
    span.add_event("late")
    span.add_link(ABOVE)
    span.update_name("late")
    span.set_status(trace.StatusCode.ERROR)


ALL = (
    nothing,
    attributes,
    many_attributes,
    events,
    links,
    renamed,
    failed,
    well_for_good,
    used_after_its_end,
)


@pytest.mark.parametrize("work", ALL, ids=lambda work: work.__name__)
def test_what_others_do_to_it_shows_as_in_the_sdks(work):
    """Other instrumentation sets, notes and says the same on it, within the same bounds."""
    theirs, ours = Both().do(work)
    assert ours == theirs
    assert len(ours) == 1


@pytest.mark.parametrize("work", [attributes, many_attributes, events], ids=lambda w: w.__name__)
def test_its_bounds_are_those_of_the_environment(monkeypatch, work):
    """The limits that OpenTelemetry's variables set hold for it, too."""
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1")
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "2" if work is attributes else "0")
    theirs, ours = Both().do(work)
    assert ours == theirs


def test_bounds_hold_for_what_it_takes_over(monkeypatch):
    """Attributes that are handed over in one piece are bounded as those that are set."""
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2")
    both = Both()
    theirs, ours = (
        tracer.start_span("chat", trace.Context(), trace.SpanKind.CLIENT) for tracer in both.tracers
    )
    theirs.set_attributes({"a": 1, "b": 2, "c": 3})
    ours.take({"a": 1, "b": 2, "c": 3})
    assert (dict(ours.attributes), ours.dropped_attributes) == ({"b": 2, "c": 3}, 1)
    assert dict(ours.attributes) == dict(theirs.attributes)


def test_what_it_takes_over_goes_beside_what_was_set():
    """Attributes that other instrumentation has set are kept."""
    tracer = Both().tracers[1]
    span = tracer.start_span("chat", trace.Context(), trace.SpanKind.CLIENT)
    span.set_attribute("theirs", 1)
    span.take({"ours": 2})
    assert dict(span.attributes) == {"theirs": 1, "ours": 2}


def test_exceptions_are_events():
    """An exception that other instrumentation records is an event with its type and message."""
    tracer = Both().tracers[1]
    span = tracer.start_span("chat", trace.Context(), trace.SpanKind.CLIENT)
    with pytest.raises(ValueError, match="broken"), trace.use_span(span):
        raise ValueError("broken")
    (event,) = span.events
    said = dict(event.attributes)
    assert (event.name, said["exception.type"], said["exception.message"]) == (
        "exception",
        "ValueError",
        "broken",
    )
    assert "test_recorded.py" in said["exception.stacktrace"]
    assert span.status.status_code is trace.StatusCode.ERROR


def test_it_stands_under_what_its_context_has():
    """Trace, parent and trace state are those of the span around it."""
    around = trace.set_span_in_context(trace.NonRecordingSpan(ABOVE), trace.Context())
    theirs, ours = Both().do(nothing, around)
    assert ours == theirs
    assert ours[0]["parent_id"] == "0x0000000000000007"


class Seen(SpanExporter):
    """Keeps the attributes of spans as they are when they are sent."""

    def __init__(self):
        self.attributes = []

    def export(self, spans):
        self.attributes += [dict(span.attributes) for span in spans]
        return SpanExportResult.SUCCESS


def test_it_ends_behind_what_is_being_set():
    """A span that another thread ends is sent with what is being set on it at that moment."""
    seen = Seen()
    provider = TracerProvider(shutdown_on_exit=False)
    resource, processor = provider.resource, SimpleSpanProcessor(seen)
    tracer = Recorder("x", sampler=ALWAYS_ON, resource=resource, processor=processor)
    span = tracer.start_span("chat", trace.Context(), trace.SpanKind.CLIENT)
    other = threading.Thread(target=span.end)

    class Overtaken(dict):
        def items(self):
            other.start()
            other.join(0.01)  # as long as it takes where nothing holds it back
            return super().items()

    span.set_attributes(Overtaken(key=1))
    other.join()
    assert seen.attributes == [{"key": 1}]


class Says:
    """A sampler that adds an attribute, and leaves out what it is told to."""

    def __init__(self, decision):
        self.decision = decision

    def should_sample(self, *_):
        return SamplingResult(self.decision, {"sampler": "says so"})

    def get_description(self):
        return "says"


@pytest.mark.parametrize("decision", list(Decision), ids=lambda decision: decision.name)
def test_the_sampler_decides(decision):
    """What a sampler leaves out is not sent, and what it adds is."""
    theirs, ours = Both(Says(decision)).do(nothing)
    assert ours == theirs
    assert len(ours) == (decision is Decision.RECORD_AND_SAMPLE)


def test_what_is_left_out_records_nothing():
    """A span that is left out says so to who asks before gathering attributes."""
    tracer = Both(ALWAYS_OFF).tracers[1]
    span = tracer.start_span("chat", trace.Context(), trace.SpanKind.CLIENT)
    assert not span.is_recording()


def test_spans_go_out_in_one_group():
    """All spans of a process are one resource's and one scope's, as a collector gets them."""
    both = Both()
    both.do(nothing)
    both.do(attributes)
    sent = encode_spans(both.sent[1].get_finished_spans())
    (group,) = sent.resource_spans
    (scope,) = group.scope_spans
    assert (scope.scope.name, len(scope.spans)) == ("agentinfra", 2)


@pytest.mark.parametrize("key", ["found", "tokens", "key_of_map"])
@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (["stop"], ("stop",)),
        ((1, 2), (1, 2)),
        (["a", 1], '["a", 1]'),
        ({"n": 1}, '{"n": 1}'),
        ([], ()),
        (None, "left out"),
        (1.5, 1.5),
    ],
    ids=repr,
)
def test_attributes_are_what_collectors_take(key, value, sent):
    """Lists of one kind go as they are, all else as JSON; None is left out, whatever the name."""
    redactor = Redactor()
    for _ in range(2):  # the second time names and texts are known
        assert exportable({key: value, "beside": "x"}, redactor) == {
            **({} if value is None else {key: sent}),
            "beside": "x",
        }


def test_names_of_attributes_can_be_sent():
    """A name that is empty is left out; half of a character in one becomes a question mark."""
    given = {"": 1, "größe": 2, "half\ud83d": 3}
    assert exportable(given, Redactor()) == {"größe": 2, "half?": 3}
