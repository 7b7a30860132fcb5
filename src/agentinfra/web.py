"""The runtime behind HTTP: probes and metrics for an orchestrator, a lifespan for web apps."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from agentinfra.errors import ConfigurationError, LifecycleError
from agentinfra.observability import semconv
from agentinfra.observability.probes import ProbeResponse, Probes
from agentinfra.observability.tracing import start_span
from agentinfra.runtime import InfraRuntime

if TYPE_CHECKING:
    from agentinfra.results import HealthReport
    from agentinfra.settings import Settings

__all__ = ["create_app", "lifespan", "trace_requests"]

_Event: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Event]]
_Send: TypeAlias = Callable[[_Event], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[_Event, _Receive, _Send], Awaitable[None]]

_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY")
)
_PARAMETER = re.compile(r"\{(\w+)")  # in a route's template
_REFUSED = 1008  # WebSocket: against the policy; before accepting, servers answer 403


def create_app(rt: InfraRuntime | None = None) -> ASGIApp:
    """Return an ASGI app with `/livez`, `/readyz` and `/metrics`.

    Mount it in a web app, or serve it alone; `Settings.runtime.serve` does that without a
    server of your own. It looks for its runtime when it is asked, so it can be mounted before
    one runs. While none runs, `/readyz` and `/metrics` answer 503 and say why; `/livez` answers
    200 as long as the event loop turns.

    Args:
        rt: The runtime to answer for. None, and one that is not entered in the loop that serves,
            is the running loop's.

    Example:
        ```python
        app = FastAPI(lifespan=lifespan())
        app.mount("/infra", create_app())
        ```
    """
    source = _Source(rt)

    async def app(scope: _Event, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await _acknowledge(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _REFUSED, "reason": "HTTP only"})
        elif scope["type"] == "http":
            await _send(
                await source.probes().respond(scope["method"], _path(scope), _headers(scope)), send
            )

    return app


Source: TypeAlias = "Settings | InfraRuntime | Callable[[], Settings | InfraRuntime] | None"


def lifespan(
    source: Source = None, *, allowed_types: Iterable[type] = ()
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """Return a lifespan for Starlette and FastAPI that enters a runtime around the app.

    The runtime is `app.state.infra` and `request.state.infra`; code that has neither asks
    `InfraRuntime.current()`. Whatever made the app, the runtime is entered in the process and on
    the loop that serves it: workers and reloads have one each.

    Args:
        source: The runtime's settings, a runtime that is not entered yet, or a function that
            makes one of the two each time the app starts; None reads the environment. A runtime
            can be entered once: where an app starts again in one process, give a function.
        allowed_types: Your own types that the state of graphs may contain, for a runtime that is
            made here.

    Raises:
        ConfigurationError: `allowed_types` came with a runtime, which has its own.

    Example:
        ```python
        app = FastAPI(lifespan=lifespan())

        @app.get("/ask")
        async def ask(request: Request, q: str) -> str:
            rt = request.state.infra
            return (await rt.llm.chat_completion([{"role": "user", "content": q}])).text
        ```
    """
    types = tuple(allowed_types)
    if isinstance(source, InfraRuntime):
        _have_no_types(types)

    @asynccontextmanager
    async def enter(app: Any) -> AsyncIterator[dict[str, Any]]:
        async with _made(source, types) as rt:
            app.state.infra = rt
            yield {"infra": rt}

    return enter


def _made(source: Source, types: tuple[type, ...]) -> InfraRuntime:
    made = source() if callable(source) else source
    if not isinstance(made, InfraRuntime):
        return InfraRuntime(made, allowed_types=types)
    _have_no_types(types)
    return made


def _have_no_types(types: tuple[type, ...]) -> None:
    if types:
        raise ConfigurationError(
            "lifespan() was given a runtime and allowed_types: give the types to the runtime, "
            "as in InfraRuntime(settings, allowed_types=[...])"
        )


class _Source:
    """Finds the runtime that answers, and asks it."""

    def __init__(self, rt: InfraRuntime | None) -> None:
        self._rt = rt

    def probes(self) -> Probes:
        """Return what answers a request; made anew, since a loop may have another runtime now."""
        rt = self._running() or self._rt
        required = frozenset(rt.settings.runtime.required) if rt is not None else frozenset()
        return Probes(self._health, self._page, required=required)

    async def _health(self) -> HealthReport:
        # Where the loop has no runtime, the one that was given knows best why: not entered yet,
        # left, or of another loop. Without one, asking for the loop's says that there is none.
        rt = self._running() or self._rt or InfraRuntime.current()
        return await rt.health()

    def _page(self, *, openmetrics: bool = False) -> str:
        return InfraRuntime.current().metrics.expose(openmetrics=openmetrics)

    def _running(self) -> InfraRuntime | None:
        try:
            return InfraRuntime.current()
        except LifecycleError:
            return None


def _headers(scope: _Event) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in scope.get("headers", ())
    }


def _path(scope: _Event) -> str:
    """Return the path below the one the app is mounted at.

    Behind a proxy that takes a prefix off, the root path has it and the path does not: then only
    what the app around us has added counts.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    mounted = root.removeprefix(scope.get("app_root_path", "").rstrip("/"))
    for prefix in (root, mounted):
        if prefix and (path == prefix or path.startswith(f"{prefix}/")):
            return path[len(prefix) :] or "/"
    return path or "/"


async def _send(answer: ProbeResponse, send: _Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def trace_requests(app: ASGIApp) -> ASGIApp:
    """Return an app whose requests are spans that continue the traces they came from.

    ASGI middleware, as in `app.add_middleware(trace_requests)`: what runs inside of a request,
    calls of models and lines of the log too, belongs to the caller's trace (W3C Trace Context). A
    span is called by its method and, under Starlette and FastAPI, its route: ``GET /items/{id}``.

    Args:
        app: The app around which to put it.
    """

    async def traced(scope: _Event, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        known = scope["method"] in _METHODS
        attributes = {
            # Methods are anybody's words: a name made of them could be one of any number.
            semconv.HTTP_METHOD: scope["method"] if known else "_OTHER",
            semconv.HTTP_METHOD_ORIGINAL: None if known else scope["method"],
            semconv.URL_PATH: scope["path"],
            semconv.URL_SCHEME: scope.get("scheme", "http"),
        }
        name = scope["method"] if known else "HTTP"
        with start_span(name, attributes, kind="server", parent=_headers(scope)) as span:

            async def noted(message: _Event) -> None:
                if message["type"] == "http.response.start":
                    span.set(semconv.HTTP_STATUS, message["status"])
                    if message["status"] >= 500:
                        span.fail(str(message["status"]))
                await send(message)

            try:
                await app(scope, receive, noted)
            finally:
                route = _route(scope)
                if route:
                    span.set(semconv.HTTP_ROUTE, route)
                    span.rename(f"{name} {route}")

    return traced


def _route(scope: _Event) -> str:
    """Return the template of the path, as Starlette and FastAPI leave it; empty where none does.

    A path itself never stands in for it: there is no end of them.
    """
    template = getattr(scope.get("route"), "path", None)
    if not isinstance(template, str):
        return ""
    # The app may be mounted: what it is mounted at belongs to the template, unless values do, which
    # a mount at "/{tenant}" leaves there.
    ours = set(_PARAMETER.findall(template))
    mounted_at_values = not ours.issuperset(scope.get("path_params", ()))
    return template if mounted_at_values else f"{scope.get('root_path', '')}{template}"


async def _acknowledge(receive: _Receive, send: _Send) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return
