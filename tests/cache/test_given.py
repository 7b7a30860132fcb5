"""What callers hand over by mistake is refused by name, and nothing is left of it."""

from __future__ import annotations

import asyncio

import pytest

from agentinfra.cache import EmbeddingCache, ResponseCache, RoutingCache
from agentinfra.errors import CacheError

pytestmark = pytest.mark.usefixtures("no_tasks_left")


@pytest.mark.parametrize("ttl", [0, -5, float("nan"), "1h"])
async def test_a_time_to_live_is_seconds_above_zero(ttl):
    """Of a value that is set, and of one that is computed."""
    cache = RoutingCache()

    async def load():
        return 1

    with pytest.raises(CacheError, match="ttl is "):
        await cache.set("q", 1, ttl=ttl)
    with pytest.raises(CacheError, match="ttl is "):
        await cache.get_or_compute("q", load, ttl=ttl)
    assert await cache.get("q") is None


async def test_one_text_is_no_list_of_tags():
    """Its letters would be the tags, and dropping it would drop nothing."""
    cache = RoutingCache()

    async def load():
        return 1

    with pytest.raises(CacheError, match="tags is 'orders'"):
        await cache.set("q", 1, tags="orders")
    with pytest.raises(CacheError, match="tags is 'orders'"):
        await cache.get_or_compute("q", load, tags="orders")


async def value():
    return 1


@pytest.mark.parametrize(
    ("loader", "said"),
    [
        (lambda: 1, "gave a int, which cannot be awaited"),
        ("value", "the loader is 'value'"),
        (None, "the loader is None"),
    ],
)
async def test_a_loader_is_an_async_function(loader, said):
    """The error says what was given in its place."""
    cache = RoutingCache()
    with pytest.raises(CacheError, match=said):
        await cache.get_or_compute("q", loader)
    with pytest.raises(CacheError, match="gave a list"):
        await EmbeddingCache().get_or_compute_many(["q"], "m", lambda texts: [[1.0]])


async def test_a_coroutine_in_place_of_its_function_is_refused_and_ended():
    """Nothing warns that it was never awaited."""
    with pytest.raises(CacheError, match="not what it gives"):
        await RoutingCache().get_or_compute("q", value())  # type: ignore[arg-type]


async def test_a_loader_may_return_any_awaitable():
    """A future does as well as a coroutine."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(7)
    assert await RoutingCache().get_or_compute("q", lambda: future) == 7


@pytest.mark.parametrize("text", [42, None, b"q", ["q"]])
async def test_a_question_is_a_text(text):
    """The error names what was given, and of which type it is."""
    for asked in (RoutingCache().get(text), ResponseCache().get(text, "agent")):
        with pytest.raises(CacheError, match="a text is asked for"):
            await asked


async def test_an_error_of_ones_own_normalisation_comes_out_as_it_was():
    """It is not taken for one about the text."""

    def broken(text):
        raise AttributeError("mine")

    with pytest.raises(AttributeError, match="mine"):
        await RoutingCache(normalize=broken).get("q")
