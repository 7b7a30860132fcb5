"""Loaders that tests hold in their hands, and a way to know what was heard."""

from __future__ import annotations

import asyncio

from agentinfra.cache import RedisTier


class Loader:
    """A loader that answers when it is told to, and counts its calls."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.ended = 0
        self.started = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self) -> object:
        self.calls += 1
        self.started.set()
        try:
            await self.go.wait()
        finally:
            self.ended += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answering(*answers: object) -> Loader:
    loader = Loader(*answers)
    loader.go.set()
    return loader


class Mark:
    """A listener that notices when it is told something."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    def changed(self, keys):
        self.told.set()

    cleared = untagged = changed


async def heard(tier: RedisTier) -> None:
    """Wait until a tier has heard everything that was said before."""
    mark = Mark()
    tier.listen("mark:", "me", mark)
    await tier.drop(["mark:{00}"], "other")
    await mark.told.wait()
