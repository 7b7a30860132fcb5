"""A mounted runtime under the servers people run: workers, reloads, forks after loading."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager

import httpx
import pytest

APP = """
import os
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from agentinfra import InfraRuntime
from agentinfra.web import create_app, lifespan


@asynccontextmanager
async def entered(app):
    async with lifespan()(app) as state:
        yield state
    with Path("left").open("a") as file:
        print(os.getpid(), file=file)


app = FastAPI(lifespan=entered)
app.mount("/infra", create_app())


@app.get("/")
async def ask() -> dict:
    reply = await InfraRuntime.current().llm.chat_completion(
        [{"role": "user", "content": "hello"}]
    )
    return {"pid": os.getpid(), "text": reply.text, "version": 1}
"""

UVICORN = ("uvicorn", "shop:app", "--log-level", "warning", "--port", "{port}")
GUNICORN = ("gunicorn", "shop:app", "--preload", "--workers", "2", "--bind", "127.0.0.1:{port}")


@asynccontextmanager
async def served(command, folder, openai_server):
    """Run a server until the block ends; give its address and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "shop.py").write_text(APP)
    env = {
        **os.environ,
        "OPENAI_BASE_URL": openai_server.base_url,
        "OPENAI_API_KEY": "any",
        "AGENTINFRA_DATABASE__ENABLED": "false",
        "AGENTINFRA_CHECKPOINTER__BACKEND": "memory",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *(part.format(port=port) for part in command)),
        cwd=folder,
        env=env,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            yield http, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _asked(http, path="/"):
    """Ask until the server is there; a connection each, so that every worker gets its share."""
    while True:
        try:
            answer = await http.get(path, headers={"connection": "close"})
        except httpx.TransportError:
            await asyncio.sleep(0.01)
            continue
        return answer


async def _told_to_stop(process):
    process.send_signal(signal.SIGTERM)
    _, error = await process.communicate()
    return process.returncode, error.decode()


@pytest.mark.parametrize(
    "command",
    [
        (*UVICORN, "--workers", "2"),
        (*GUNICORN, "--worker-class", "asgi"),
        (*GUNICORN, "--worker-class", "uvicorn.workers.UvicornWorker"),
    ],
    ids=["uvicorn", "gunicorn", "gunicorn with uvicorn"],
)
async def test_each_worker_has_a_runtime(command, tmp_path, openai_server):
    """Every worker enters its own, answers its probes, and leaves it when told to stop."""
    async with asyncio.timeout(60), served(command, tmp_path, openai_server) as (http, process):
        pids = set()
        while len(pids) < 2:
            answer = await _asked(http)
            assert (answer.status_code, "hello" in answer.json()["text"]) == (200, True)
            pids.add(answer.json()["pid"])
        for path in ("/infra/livez", "/infra/readyz", "/infra/metrics"):
            assert (await _asked(http, path)).status_code == 200
        status, error = await _told_to_stop(process)
    assert (status, "Traceback" in error) == (0, False), error
    assert set(map(int, (tmp_path / "left").read_text().split())) == pids


async def test_a_reload_enters_a_runtime_anew(tmp_path, openai_server):
    """A changed file has the old runtime left, and a new one entered."""
    command = (*UVICORN, "--reload")
    async with asyncio.timeout(60), served(command, tmp_path, openai_server) as (http, process):
        first = (await _asked(http)).json()
        (tmp_path / "shop.py").write_text(APP.replace('"version": 1', '"version": 2'))
        while (second := (await _asked(http)).json())["version"] == 1:
            pass  # it is asked again until the new one answers
        assert second["pid"] != first["pid"]
        assert (await _asked(http, "/infra/readyz")).status_code == 200
        status, error = await _told_to_stop(process)
    assert "Traceback" not in error
    assert status in (0, -signal.SIGTERM)
    left = set(map(int, (tmp_path / "left").read_text().split()))
    assert left == {first["pid"], second["pid"]}
