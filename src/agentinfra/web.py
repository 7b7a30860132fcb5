"""The runtime behind HTTP: probes and metrics for an orchestrator, a lifespan for web apps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from agentinfra.observability.probes import Probes
from agentinfra.runtime import InfraRuntime

if TYPE_CHECKING:
    from agentinfra.settings import Settings

__all__ = ["create_app", "lifespan"]

_Event: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Event]]
_Send: TypeAlias = Callable[[_Event], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[_Event, _Receive, _Send], Awaitable[None]]


def create_app(rt: InfraRuntime) -> ASGIApp:
    """Return an ASGI app with ``/livez``, ``/readyz`` and ``/metrics``.

    Mount it in a web app, or serve it alone; ``Settings.runtime.serve`` does that without a
    server of your own.

    Args:
        rt: An entered runtime; after it was left, ``/readyz`` answers 503.

    Example:
        .. code-block:: python

            app = Starlette(routes=[Mount("/infra", create_app(rt))])
    """
    required = frozenset(rt.settings.runtime.required)
    probes = Probes(rt.health, rt.metrics.expose, required=required)

    async def app(scope: _Event, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await _acknowledge(receive, send)
        elif scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            answer = await probes.respond(scope["method"], path or "/")
            headers = [(name.encode(), value.encode()) for name, value in answer.headers]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})

    return app


def lifespan(
    settings: Settings | None = None,
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """Return a lifespan for Starlette and FastAPI that enters a runtime around the app.

    The runtime is ``app.state.infra`` and ``request.state.infra``; code that has neither asks
    ``InfraRuntime.current()``.

    Args:
        settings: The runtime's settings; None reads the environment.

    Example:
        .. code-block:: python

            app = FastAPI(lifespan=lifespan())

            @app.get("/ask")
            async def ask(request: Request, q: str):
                rt = request.state.infra
                return (await rt.llm.chat_completion([{"role": "user", "content": q}])).text
    """

    @asynccontextmanager
    async def enter(app: Any) -> AsyncIterator[dict[str, Any]]:
        async with InfraRuntime(settings) as rt:
            app.state.infra = rt
            yield {"infra": rt}

    return enter


async def _acknowledge(receive: _Receive, send: _Send) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
