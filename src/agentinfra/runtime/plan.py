"""What a runtime opens, and who needs whom: data, from which the levels follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import preload
from agentinfra.errors import ConfigurationError, DatabaseError

if TYPE_CHECKING:
    from agentinfra.db.embedded import EmbeddedPostgres

__all__ = ["Imports", "Part", "Plan", "ServerAddress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A resource in its place.

    Attributes:
        resource: The resource.
        needs: Names of those that are opened before it, and closed after it.
        last: Whether it needs all that are not last themselves.
    """

    resource: Resource
    needs: frozenset[str] = frozenset()
    last: bool = False


class Plan:
    """The parts of a runtime by name.

    Attributes:
        builtin: The names of the runtime's own parts, which those of a user need as a rule.
    """

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self.builtin: frozenset[str] = frozenset()

    def close(self) -> None:
        """Say that the runtime's own parts are all there; what is added now is around them."""
        self.builtin = frozenset(self._parts)

    def add(self, resource: Resource, *, needs: Iterable[str] = (), last: bool = False) -> None:
        """Add a resource.

        Args:
            resource: The resource.
            needs: Names of what has to be open before it.
            last: Whether it is opened after all others, those added later too.

        Raises:
            ConfigurationError: The name is taken, or it needs what is not there.
        """
        wanted = frozenset(needs)
        if resource.name in self._parts:
            raise ConfigurationError(
                f"the runtime has a resource named {resource.name!r} already: give another name"
            )
        there = {name for name, part in self._parts.items() if not part.last}
        if unknown := sorted(wanted - there):
            known = ", ".join(sorted(there))
            raise ConfigurationError(
                f"{resource.name!r} needs {', '.join(map(repr, unknown))}, which the runtime has "
                f"not got; it has {known}"
            )
        self._parts[resource.name] = Part(resource=resource, needs=wanted, last=last)

    def levels(self) -> list[list[Resource]]:
        """Return the resources level by level: each needs only what stands in levels before.

        What is needed was added first, so that there are no circles.
        """
        depth: dict[str, int] = {}
        for name, part in self._parts.items():
            if not part.last:
                depth[name] = max((depth[need] + 1 for need in part.needs), default=0)
        top = max(depth.values(), default=-1) + 1
        levels: list[list[Resource]] = [[] for _ in range(top + 1)]
        for name, part in self._parts.items():
            levels[depth.get(name, top)].append(part.resource)
        return [level for level in levels if level]


class Imports(Resource):
    """The imports of the vendors: off the event loop, and beside the start of a server.

    Args:
        resources: Whose vendors.
    """

    name = "imports"

    def __init__(self, resources: Iterable[Resource]) -> None:
        super().__init__()
        self._modules = [name for resource in resources for name in resource.vendors]

    async def _open(self) -> None:
        await preload(self._modules)


class ServerAddress:
    """Where the embedded server is, for one of those who use it.

    The first question comes while they open, in the level after the server's. Who asks again, of
    a server that did not start, has it tried again.

    Args:
        server: The runtime's server.
    """

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._asked = False

    async def __call__(self) -> str:
        """Return the server's URL.

        Raises:
            AgentInfraError: It could not be started; the message says why.
        """
        again, self._asked = self._asked, True
        if not self._server.is_open:
            if not again:
                raise DatabaseError(self._server.reason or f"{self._server.name} is not started")
            await self._server.reopen()
        return self._server.url
