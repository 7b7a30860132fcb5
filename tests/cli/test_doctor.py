"""The doctor: what works, what does not, and what mends it."""

import json
import socket

import pytest

from agentinfra.cli import main

SWITCHED_OFF = {
    "AGENTINFRA_DATABASE__ENABLED": "false",
    "AGENTINFRA_CHECKPOINTER__ENABLED": "false",
}


@pytest.fixture
def diagnose(plain, monkeypatch, capsys):
    """Give a function that runs the doctor and returns status, rows by resource, and the text."""

    def run(*args: str, **env: str):
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        status = main(["doctor", "--json", *args])
        shown = capsys.readouterr()
        report = json.loads(shown.out)
        assert report["ok"] is (status == 0)
        return status, {row["name"]: row for row in report["resources"]}, shown.out + shown.err

    return run


def test_without_a_key_the_model_needs_a_hand(plain, monkeypatch, capsys):
    """The status is 1, and a sentence says which variable mends it."""
    for name, value in SWITCHED_OFF.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr()
    assert "to mend llm: export OPENAI_API_KEY=" in shown.out
    assert "not as it should be: llm" in shown.out
    assert "\x1b[" not in shown.out
    assert shown.err == ""


def test_what_is_switched_off_is_no_fault(diagnose, endpoint):
    """Against a server that takes the key the status is 0, whatever is disabled."""
    env = {**SWITCHED_OFF, "OPENAI_BASE_URL": endpoint, "OPENAI_API_KEY": "sesame"}
    status, rows, _ = diagnose(**env)
    assert status == 0
    assert rows["llm"]["state"] == "ready"
    assert rows["llm"]["latency"] > 0
    assert rows["database"]["state"] == rows["checkpointer"]["state"] == "disabled"
    assert {row["fix"] for row in rows.values()} == {""}


def test_a_call_says_what_it_cost(diagnose, endpoint):
    """With --call a chat request is sent, and its tokens and cost are told."""
    env = {**SWITCHED_OFF, "OPENAI_BASE_URL": endpoint, "OPENAI_API_KEY": "sesame"}
    status, rows, _ = diagnose("--call", **env)
    assert status == 0
    assert "answered, " in rows["llm"]["detail"]
    assert "tokens, $0.0000" in rows["llm"]["detail"]


@pytest.mark.parametrize("call", [(), ("--call",)])
def test_a_refused_key_is_told(diagnose, endpoint, call):
    """A key the endpoint does not take is a failure, and is not shown."""
    env = {**SWITCHED_OFF, "OPENAI_BASE_URL": endpoint, "OPENAI_API_KEY": "open-barley"}
    status, rows, text = diagnose(*call, **env)
    assert status == 1
    assert rows["llm"]["state"] == "failed"
    assert "OPENAI_API_KEY" in rows["llm"]["fix"]
    assert "barley" not in text


def test_the_endpoint_is_asked_as_calls_are(diagnose, endpoint):
    """An address that is not quite the API's is no working one, and the row says what to add."""
    forgotten = endpoint.removesuffix("/v1")
    env = {**SWITCHED_OFF, "OPENAI_BASE_URL": forgotten, "OPENAI_API_KEY": "sesame"}
    status, rows, _ = diagnose(**env)
    assert status == 1
    assert rows["llm"]["state"] == "failed"
    assert "/v1" in rows["llm"]["fix"]


def test_what_surrounds_the_agent_is_examined_too(diagnose, endpoint):
    """A collector that is away and a port that is taken are faults of what is configured."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, rows, text = diagnose(
            **SWITCHED_OFF,
            OPENAI_BASE_URL=endpoint,
            OPENAI_API_KEY="sesame",
            OTEL_EXPORTER_OTLP_ENDPOINT="http://agent:open-barley@127.0.0.1:9",
            AGENTINFRA_RUNTIME__SERVE=f"127.0.0.1:{taken.getsockname()[1]}",
        )
    assert status == 1
    assert rows["llm"]["state"] == "ready"
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in rows["tracing"]["fix"]
    assert "AGENTINFRA_RUNTIME__SERVE" in rows["probes"]["fix"]
    assert "barley" not in text


def test_what_cannot_be_reached_is_named_with_what_mends_it(diagnose):
    """Each resource that is away says so, and which variable names it."""
    status, rows, text = diagnose(
        OPENAI_BASE_URL="http://127.0.0.1:9/v1",
        DATABASE_URL="postgresql://agent:secret@127.0.0.1:9/db",
        REDIS_URL="redis://:secret@127.0.0.1:9/0",
    )
    assert status == 1
    assert "OPENAI_BASE_URL" in rows["llm"]["fix"]
    assert "DATABASE_URL" in rows["database"]["fix"]
    assert "REDIS_URL" in rows["redis"]["fix"]
    assert rows["checkpointer"]["state"] in ("degraded", "failed")
    assert "secret" not in text
