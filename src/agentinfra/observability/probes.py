"""What the outside asks: is it alive, is it ready, what are its figures.

`Probes` answers, whatever server carries the question; `ProbeServer` is one.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import json
import socket
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from agentinfra._mechanics.closing import settle
from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.errors import ConfigurationError, LifecycleError
from agentinfra.observability.logging import get_logger
from agentinfra.observability.metrics.exposition import CONTENT_TYPE, OPENMETRICS_TYPE
from agentinfra.results import ResourceHealth

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from agentinfra.results import HealthReport

__all__ = ["ProbeResponse", "ProbeServer", "Probes"]

log = get_logger("agentinfra.probes")

_SMALL = 1_400  # bytes that fit into one packet: not worth compressing
_CLOSING = 0.5  # seconds an answer under way gets when the server closes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResponse:
    """An answer, for any server to send.

    Attributes:
        status: The HTTP status.
        headers: Names and values.
        body: What follows; empty for HEAD.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Page(Protocol):
    """Gives the metrics page."""

    def __call__(self, *, openmetrics: bool = False) -> str:
        """Return it, in OpenMetrics where that is asked for."""
        ...


class Probes:
    """Answers `/livez`, `/readyz` and `/metrics`.

    `/livez` is 200 as long as the event loop turns. `/readyz` is 200 while no resource has
    failed and the required ones are ready; degraded and disabled ones do not count against it.
    Without a runtime `/readyz` and `/metrics` are 503 with the sentence that says so.

    Args:
        health: Asks the resources.
        page: Gives the metrics page; with `openmetrics=True` the one in OpenMetrics.
        required: Names of resources that have to be `ready`.
        timeout: Seconds the resources may take to answer.
    """

    def __init__(
        self,
        health: Callable[[], Awaitable[HealthReport]],
        page: Page,
        *,
        required: frozenset[str] = frozenset(),
        timeout: float = 10.0,
    ) -> None:
        self._health = health
        self._page = page
        self._required = required
        self._timeout = timeout

    async def respond(
        self, method: str, path: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> ProbeResponse:
        """Answer a request; never raises.

        Args:
            method: The HTTP method.
            path: The path; what follows a `?` is passed over.
            headers: Of the request, names in lower case: `accept` may ask for OpenMetrics,
                `accept-encoding` for gzip.
        """
        answers: dict[str, Callable[[], Awaitable[ProbeResponse]]] = {
            "/livez": self._live,
            "/readyz": self._ready,
            "/metrics": partial(self._metrics, headers),
        }
        answer = answers.get(path.partition("?")[0])
        if answer is None:
            known = ", ".join(answers)
            response = _json(404, {"error": "not found", "paths": known})
        elif method not in ("GET", "HEAD"):
            response = _json(405, {"error": "method not allowed"}, ("allow", "GET, HEAD"))
        else:
            response = await self._guarded(answer)
        if method == "HEAD":
            return ProbeResponse(status=response.status, headers=response.headers, body=b"")
        return response

    async def _guarded(self, answer: Callable[[], Awaitable[ProbeResponse]]) -> ProbeResponse:
        try:
            async with asyncio.timeout(self._timeout):
                return await answer()
        except TimeoutError:
            return _json(503, {"status": "no answer", "reason": f"within {self._timeout:g} s"})
        except LifecycleError as error:
            # Before the runtime was entered, while it leaves, and after: no defect, and its
            # sentence is ours, without anybody's data.
            return _json(503, {"status": "not ready", "reason": str(error)})
        except Exception as error:
            log.exception("probes.failed")
            return _json(503, {"status": "error", "reason": type(error).__name__})

    async def _live(self) -> ProbeResponse:
        return _json(200, {"status": "alive"})

    async def _ready(self) -> ProbeResponse:
        report = await self._health()
        states = {row.name: row.state for row in report.resources}
        lacking = [name for name in sorted(self._required) if states.get(name) != "ready"]
        ready = not lacking and "failed" not in states.values()
        rows = [
            {"name": row.name, "state": row.state, "reason": row.reason} for row in report.resources
        ]
        status = "ready" if ready else "not ready"
        return _json(
            200 if ready else 503, {"status": status, "lacking": lacking, "resources": rows}
        )

    async def _metrics(self, headers: Mapping[str, str]) -> ProbeResponse:
        if "application/openmetrics-text" in headers.get("accept", ""):
            kind, page = OPENMETRICS_TYPE, self._page(openmetrics=True)
        else:
            kind, page = CONTENT_TYPE, self._page()
        body = page.encode()
        if "gzip" not in headers.get("accept-encoding", "") or len(body) < _SMALL:
            return _response(200, kind, body)
        return _response(200, kind, gzip.compress(body, 1, mtime=0), ("content-encoding", "gzip"))


class ProbeServer(Resource):
    """Serves probes over HTTP on an address of its own, so that the agent needs no web framework.

    Whoever enters it owns its lifetime. Workers of one user may share an address: the system gives
    requests to one or another, whose page of metrics is that of all. An address that cannot be had
    is an error here and a degraded resource in a runtime, with a row of its own in `health()`.

    Args:
        address: `host:port`; port 0 takes a free one.
        probes: What answers.

    Raises:
        ConfigurationError: The address cannot be used, or on entering, cannot be had.
    """

    name = "probes"
    vendors = ("aiohttp.web",)

    def __init__(self, address: str, probes: Probes) -> None:
        super().__init__()
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ConfigurationError(
                f"probe address {address!r} cannot be used: give host:port, as in 127.0.0.1:9464"
            )
        self._address = address
        self._host, self._port = host.removeprefix("[").removesuffix("]"), int(port)
        self._probes = probes
        self._runner: Any = None

    @property
    def port(self) -> int:
        """The port it listens on, 0 while it listens on none."""
        return 0 if self._runner is None else self._runner.addresses[0][1]

    async def probe(self) -> ResourceHealth:
        """Return the state now, and the address it listens on."""
        shown = f"[{self._host}]" if ":" in self._host else self._host
        return ResourceHealth(
            name=self.name,
            state=self.state,
            reason=self.reason,
            detail=f"http://{shown}:{self.port}" if self.port else "",
        )

    async def _open(self) -> None:
        try:
            web = load("aiohttp.web")
        except MissingPackageError as error:
            self.degrade(str(error))
            return
        probes = self._probes

        async def handle(request: Any) -> Any:
            asked = {name.lower(): value for name, value in request.headers.items()}
            answer = await probes.respond(request.method, request.path, asked)
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

        runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=_CLOSING)
        await runner.setup()
        shared = bool(self._port) and hasattr(socket, "SO_REUSEPORT")
        site = web.TCPSite(runner, self._host, self._port, reuse_port=shared or None)
        # In a task that is waited for in any case: asyncio forgets a server that already listens
        # when starting it is cancelled.
        start = asyncio.create_task(site.start(), name="agentinfra-probes")
        cancelled = await settle(start, timeout=None)
        failure = start.exception()
        if cancelled or failure is not None:
            await runner.cleanup()
        if cancelled:
            raise asyncio.CancelledError
        if failure is not None:
            raise self._complaint(failure) from failure
        self._runner = runner

    async def _close(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _complaint(self, error: BaseException) -> BaseException:
        if not isinstance(error, OSError):
            return error
        if error.errno == errno.EADDRINUSE:
            return ConfigurationError(
                f"port {self._port} on {self._host} is taken: stop what uses it, or set "
                "AGENTINFRA_RUNTIME__SERVE to another host:port"
            )
        reason = error.strerror or type(error).__name__
        return ConfigurationError(
            f"cannot listen on {self._address}: {reason}: set AGENTINFRA_RUNTIME__SERVE"
        )


def _json(status: int, content: dict[str, Any], *headers: tuple[str, str]) -> ProbeResponse:
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    return _response(status, "application/json", body, *headers)


def _response(
    status: int, content_type: str, body: bytes, *headers: tuple[str, str]
) -> ProbeResponse:
    # The length is of the body that GET has: HEAD tells it without sending it.
    fixed = (
        ("content-type", content_type),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
    )
    return ProbeResponse(status=status, headers=(*fixed, *headers), body=body)
