"""The plugin's fixtures, as a project of its own uses them."""

import socket
import subprocess
import sys

import pytest

from agentinfra import get_logger, start_span
from agentinfra.testing import NetworkRefusedError, assert_no_secrets

PROJECT = """
import asyncpg, pytest

@pytest.mark.parametrize("n", range(4))
async def test_a_database_each(postgres_url, n):
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE t (v vector(3))")
    await connection.close()

@pytest.mark.asyncio(loop_scope="module")
async def test_on_a_loop_of_the_module(infra_runtime):
    assert (await infra_runtime.llm.chat_completion([{"role": "user", "content": "x"}])).text
"""


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_a_project_alone_and_under_xdist(tmp_path, workers):
    """Each test gets an empty database and a runtime on its own loop, workers or not."""
    (tmp_path / "test_it.py").write_text(PROJECT)
    options = ["-o", "asyncio_mode=auto", "-p", "no:langsmith_plugin"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *workers, *options, "test_it.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "5 passed" in done.stdout, done.stdout


def test_settings_know_nothing_of_the_environment(monkeypatch, request):
    """What a developer has set does not reach a test's settings."""
    monkeypatch.setenv("REDIS_URL", "redis://prod.example:6379")
    monkeypatch.setenv("AGENTINFRA_LLM__MODEL", "prod-model")
    settings = request.getfixturevalue("infra_settings")
    assert settings.cache.redis_url is None
    assert settings.llm.model != "prod-model"


def test_nobody_else_is_reached(no_network):
    """Connections beyond this machine are refused by name; loopback is let through."""
    with pytest.raises(NetworkRefusedError, match=r"192\.0\.2\.1:80"):
        socket.create_connection(("192.0.2.1", 80), timeout=0.01)
    with pytest.raises(NetworkRefusedError, match=r"api\.example\.com"):
        socket.getaddrinfo("api.example.com", 443)
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


async def test_a_block_is_captured(infra_runtime, capture):
    """Events, spans and metrics of a block are there afterwards, and only those."""
    get_logger("app").warning("before")
    with capture(infra_runtime) as seen:
        with start_span("plan"):
            get_logger("app").warning("during", step=1)
        await infra_runtime.llm.chat_completion([{"role": "user", "content": "hello"}])
    assert [event["step"] for event in seen.named("during")] == [1]
    assert not seen.named("before")
    assert "plan" in [span.name for span in seen.spans]
    assert seen.counted("llm_tokens_total", type="total") > 0


def test_secrets_are_found_where_they_stand():
    """A secret in a text, a value or a repr is told by its place, and not repeated."""
    assert_no_secrets({"line": "all fine"}, "sk-secret-1")
    with pytest.raises(AssertionError, match=r"it\['line'\]\[0\]") as raised:
        assert_no_secrets({"line": ["key=sk-secret-1"]}, "sk-secret-1")
    assert "sk-secret-1" not in str(raised.value)
    with pytest.raises(ValueError, match="at least one secret"):
        assert_no_secrets("text")
