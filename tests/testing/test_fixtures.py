"""The plugin's fixtures, as a project of its own uses them."""

import os
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


IMPORTS = """
import sys

def test_what_is_loaded({fixture}):
    loaded = {{name.partition(".")[0] for name in sys.modules}}
    assert not loaded & {heavy}, loaded & {heavy}

def test_ours_is_as_it_is_installed():
    import agentinfra.settings as ours
    assert type(ours.__loader__).__module__ != "_pytest.assertion.rewrite"
"""
HEAVY = {"aiohttp", "asyncpg", "genai_prices", "langgraph", "openai", "postgast", "structlog"}


def _pytest(folder, *options, **environment):
    """Return what a session of a project's own says."""
    others = ("langsmith_plugin", "hypothesispytest", "randomly")  # none of theirs is needed
    settings = ["-o", "asyncio_mode=auto", *(f"-pno:{name}" for name in others)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *settings, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_a_project_alone_and_under_xdist(tmp_path, workers):
    """Each test gets an empty database and a runtime on its own loop, workers or not."""
    (tmp_path / "test_it.py").write_text(PROJECT)
    said = _pytest(tmp_path, *workers)
    assert "5 passed" in said, said


def test_pytest_asyncio_by_another_name(tmp_path):
    """Loaded by its module's name, pytest-asyncio gives the test's loop as well."""
    (tmp_path / "test_it.py").write_text(PROJECT)
    named = ["-p", "pytest_asyncio.plugin", "-p", "agentinfra.testing.plugin"]
    said = _pytest(tmp_path, *named, "-k", "loop", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "1 passed" in said, said


@pytest.mark.parametrize(
    ("fixture", "needs"),
    [
        ("manual_clock", set()),
        ("postgres_url", {"asyncpg"}),
        ("openai_server", {"aiohttp", "openai"}),
        ("infra_runtime", HEAVY - {"asyncpg", "postgast"}),
    ],
)
def test_a_fixture_loads_what_it_needs(tmp_path, fixture, needs):
    """A session loads the packages of the fixtures it uses, and no module of ours rewritten."""
    (tmp_path / "test_it.py").write_text(IMPORTS.format(fixture=fixture, heavy=HEAVY - needs))
    # As pytest does by itself for a package that is installed from a wheel.
    rewritten = "import pytest; pytest.register_assert_rewrite('agentinfra.settings')"
    (tmp_path / "conftest.py").write_text(rewritten)
    said = _pytest(tmp_path)
    assert "2 passed" in said, said


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


async def test_a_metric_that_is_none_is_told(infra_runtime, capture):
    """A misspelt metric has not changed, which is no proof of anything: it is told."""
    with capture(infra_runtime) as seen:
        assert seen.counted("llm_tokens_total") == 0
    with pytest.raises(LookupError, match=r"'llm_token_total': llm_tokens_total"):
        seen.counted("llm_token_total")


def test_secrets_are_found_where_they_stand():
    """A secret in a text, a value or a repr is told by its place, and not repeated."""
    assert_no_secrets({"line": "all fine"}, "sk-secret-1")
    with pytest.raises(AssertionError, match=r"it\['line'\]\[0\]") as raised:
        assert_no_secrets({"line": ["key=sk-secret-1"]}, "sk-secret-1")
    assert "sk-secret-1" not in str(raised.value)
    with pytest.raises(ValueError, match="at least one secret"):
        assert_no_secrets("text")
