"""A cache against a model: time, stale and negative values, tags, loads under way, processes."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest
from cache_support import Loader, answering, heard
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agentinfra.cache import RedisTier, RoutingCache
from agentinfra.testing.clock import ManualClock

KEYS = st.sampled_from("abc")
TAGS = st.sets(st.sampled_from("xy"))
TTL, STALE, NEGATIVE = 10.0, 5.0, 3.0


class Entry:
    """What the model holds under a key."""

    def __init__(self, value, fresh, tags):
        self.value, self.fresh, self.dead, self.tags = value, fresh, fresh + STALE, tags


class Load:
    """A load under way; one that a newer write has made old is not kept."""

    def __init__(self, cache, key, tags):
        self.key, self.tags, self.loader, self.old = key, tags, Loader(), False
        self.leased = False
        self.callers = [asyncio.ensure_future(cache.get_or_compute(key, self.loader, tags=tags))]


class Machine(RuleBasedStateMachine):
    """One process, with a clock that is moved by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.entries: dict[str, Entry] = {}
        self.loads: list[Load] = []
        self.failures: dict[str, tuple[int, float]] = {}
        self.count = 0
        self.caches = [self.make()]

    def make(self, **options):
        return RoutingCache(
            TTL, stale_seconds=STALE, negative_ttl=NEGATIVE, clock=self.clock, **options
        )

    def run(self, coroutine):
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        async def end():
            for cache in self.caches:
                await cache.aclose()
            callers = [caller for load in self.loads for caller in load.callers]
            await asyncio.gather(*callers, return_exceptions=True)

        self.run(end())
        self.runner.close()

    async def after(self) -> None:
        """Let what a change has begun come to its end."""
        while flights := [f for c in self.caches for f in c._records._flights if f.quiet]:
            await asyncio.wait({flight._load.task for flight in flights})

    def new(self):
        self.count += 1
        return self.count

    def flying(self, key):
        """Return the load callers of a key wait for.

        A dropped tag makes a load old, and leaves it its lease: others load when it has ended.
        """
        waits = len(self.caches) > 1
        return next(
            (
                load
                for load in self.loads
                if load.key == key and (not load.old or (waits and load.leased))
            ),
            None,
        )

    def entry(self, key):
        entry = self.entries.get(key)
        if entry is not None and self.clock.now() >= entry.dead:
            del self.entries[key]
            self.failures.pop(key, None)
            return None
        return entry

    def keep(self, key, value, tags, ttl=None):
        life = ttl or (NEGATIVE if value is None else TTL)
        self.entries[key] = Entry(value, self.clock.now() + life, tags)

    def supersede(self, key):
        self.entries.pop(key, None)
        self.failures.pop(key, None)
        for load in self.loads:
            load.old = load.old or load.key == key

    @rule(data=st.data(), key=KEYS, none=st.booleans(), ttl=st.none() | st.floats(1, 20), tags=TAGS)
    def set(self, data, key, none, ttl, tags):
        value = None if none else self.new()

        async def act():
            await self.pick(data).set(key, value, ttl=ttl, tags=tags)
            await self.after()

        self.run(act())
        self.supersede(key)
        self.keep(key, value, tags, ttl)

    def pick(self, data):
        return data.draw(st.sampled_from(self.caches)) if len(self.caches) > 1 else self.caches[0]

    @rule(data=st.data(), key=KEYS)
    def get(self, data, key):
        entry = self.entry(key)
        fresh = entry is not None and self.clock.now() < entry.fresh
        found = self.run(self.pick(data).get(key, "none"))
        assert found == (entry.value if fresh else "none")

    @rule(data=st.data(), key=KEYS)
    def delete(self, data, key):
        async def act():
            await self.pick(data).delete(key)
            await self.after()

        self.run(act())
        self.supersede(key)

    @rule(data=st.data(), tag=st.sampled_from("xy"))
    def delete_tagged(self, data, tag):
        async def act():
            await self.pick(data).delete_tagged(tag)
            await self.after()

        self.run(act())
        for key, entry in list(self.entries.items()):
            if tag in entry.tags:
                del self.entries[key]
                self.failures.pop(key, None)
        for load in self.loads:
            load.old = load.old or tag in load.tags
            load.leased = load.leased or tag in load.tags

    @rule(data=st.data())
    def clear(self, data):
        async def act():
            await self.pick(data).clear()
            await self.after()

        self.run(act())
        for key in [*self.entries, *(load.key for load in self.loads)]:
            self.supersede(key)

    @rule(data=st.data(), key=KEYS, fails=st.booleans(), tags=TAGS)
    def compute(self, data, key, fails, tags):
        if self.flying(key) is not None:
            return
        entry, value = self.entry(key), self.new()

        async def act():
            loader = answering(OSError("no") if fails else value)
            try:
                return await self.pick(data).get_or_compute(key, loader, tags=tags)
            except OSError:
                return "error"
            finally:
                await self.after()

        got = self.run(act())
        if entry is None:
            assert got == ("error" if fails else value)
            if not fails:
                self.keep(key, value, tags)
            return
        assert got == entry.value
        count, retry_at = self.failures.get(key, (0, 0.0))
        if self.clock.now() < entry.fresh or self.clock.now() < retry_at:
            return
        if fails:
            self.failures[key] = (count + 1, self.clock.now() + 2.0**count)
        else:
            self.failures.pop(key, None)
            self.keep(key, value, tags)

    @rule(data=st.data(), key=KEYS, tags=TAGS)
    def begin(self, data, key, tags):
        if self.entry(key) is not None or self.flying(key) is not None:
            return

        async def act():
            load = Load(self.pick(data), key, tags)
            self.loads.append(load)
            await load.loader.started.wait()

        self.run(act())

    @precondition(lambda self: self.loads)
    @rule(data=st.data())
    def join(self, data):
        load = data.draw(st.sampled_from(self.loads))
        if load.old or len(self.caches) > 1:
            return

        async def act():
            caller = self.caches[0].get_or_compute(load.key, answering("never"))
            load.callers.append(asyncio.ensure_future(caller))
            await asyncio.sleep(0)

        self.run(act())

    @precondition(lambda self: self.loads)
    @rule(data=st.data())
    def land(self, data):
        load, value = data.draw(st.sampled_from(self.loads)), self.new()
        self.loads.remove(load)

        async def act():
            load.loader.answers.append(value)
            load.loader.go.set()
            assert set(await asyncio.gather(*load.callers)) == {value}
            await self.after()

        self.run(act())
        if not load.old:
            self.keep(load.key, value, load.tags)

    @precondition(lambda self: len(self.caches) == 1)
    @rule(seconds=st.floats(0.5, 8))
    def wait(self, seconds):
        self.run(self.clock.advance(seconds))


class TwoProcesses(Machine):
    """Two processes on one Redis; each hears what the other did before the next step."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.tiers = [RedisTier(self.url, clock=self.clock) for _ in range(2)]

        async def enter():
            for tier in self.tiers:
                await tier.__aenter__()
            await self.tiers[0]._store.execute("FLUSHALL")

        self.run(enter())
        self.caches = [self.make(shared=tier) for tier in self.tiers]

    async def after(self) -> None:
        await super().after()
        for tier in self.tiers:
            await heard(tier)

    def teardown(self) -> None:
        async def leave():
            for tier in self.tiers:
                await tier.aclose()

        for load in self.loads:
            load.loader.answers.append(0)
            load.loader.go.set()
        self.run(leave())
        super().teardown()


def test_one_process_does_what_the_model_does():
    """Time, stale and negative values, tags, back-off and loads under way follow the rules."""
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )


@pytest.mark.filterwarnings("default::ResourceWarning")
def test_two_processes_do_what_the_model_does(redis_server):
    """What one has acknowledged the other sees, and what was loaded before does not come back."""
    TwoProcesses.url = redis_server.url
    run_state_machine_as_test(
        TwoProcesses, settings=settings(max_examples=15, stateful_step_count=40, deadline=None)
    )
