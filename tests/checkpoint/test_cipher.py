"""State that is sealed in the database: nothing of it can be read there, and it works as before."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from agentinfra import InfraRuntime, Settings
from agentinfra.checkpoint import Checkpointer
from agentinfra.checkpoint.cipher import KeyRing
from agentinfra.checkpoint.store import LongTerm
from agentinfra.errors import CheckpointError, ConfigurationError
from agentinfra.settings import CheckpointerSettings, StoreSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")

TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
FIRST, SECOND = (base64.b64encode(bytes([n] * 32)).decode() for n in (1, 2))


def thread(name: str, **metadata: Any) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}, "metadata": metadata}


class State(TypedDict, total=False):
    log: Annotated[list[str], lambda old, new: old + new]
    word: str
    number: int


def graph_of(saver: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node(
        "say", lambda state: {"word": "swordfish", "number": 9021090210902109, "log": ["hushed"]}
    )
    graph.add_node("ask", lambda state: {"log": [interrupt("confidential?")]})
    graph.add_edge(START, "say")
    graph.add_edge("say", "ask")
    return graph.compile(checkpointer=saver)


def sealed(*keys: str, **settings: Any) -> CheckpointerSettings:
    return CheckpointerSettings(encryption_keys=keys, **settings)


async def converse(saver: Any, name: str = "alice") -> dict[str, Any]:
    graph = graph_of(saver)
    await graph.ainvoke({"log": ["whispered"]}, thread(name, user="mata hari"))
    state = await graph.ainvoke(Command(resume="unspoken"), thread(name, user="mata hari"))
    return dict(state)


async def test_nothing_of_a_conversation_can_be_read_in_the_database(database_url, rows):
    """Values, scalars, writes, interrupts and metadata are sealed; the conversation goes on."""
    async with Checkpointer(sealed(FIRST), url=database_url) as checkpointer:
        state = await converse(checkpointer.saver)
        assert (state["word"], state["number"]) == ("swordfish", 9021090210902109)
        assert state["log"] == ["whispered", "hushed", "unspoken"]
        found = await checkpointer.saver.aget_tuple(thread("alice"))
        assert found.metadata["user"] == "mata hari"
    stored = "".join(str(row) for table in TABLES for row in rows(f"SELECT t::text FROM {table} t"))
    for secret in (
        "swordfish",
        "9021090210902109",
        "whispered",
        "hushed",
        "confidential",
        "unspoken",
        "mata hari",
    ):
        assert secret not in stored
        assert secret.encode().hex() not in stored
    async with Checkpointer(sealed(FIRST), url=database_url) as checkpointer:
        assert (await converse(checkpointer.saver))["log"][:3] == [
            "whispered",
            "hushed",
            "unspoken",
        ]


async def test_keys_are_changed_one_after_the_other(database_url, rows):
    """The first key seals; those after it open what they have sealed; without them it is said."""
    async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
        await converse(checkpointer.saver)  # what was stored in the open can still be read
    for keys, turns in ((FIRST,), 2), ((SECOND, FIRST), 3), ((SECOND,), None):
        async with Checkpointer(sealed(*keys), url=database_url) as checkpointer:
            if turns is None:
                assert await checkpointer.saver.aget_tuple(thread("alice")) is not None
                with pytest.raises(CheckpointError, match="a key that is not here"):
                    _ = [found async for found in checkpointer.saver.alist(thread("alice"))]
            else:
                assert len((await converse(checkpointer.saver))["log"]) == 3 * turns
    async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
        with pytest.raises(CheckpointError, match="ENCRYPTION_KEYS"):
            await checkpointer.saver.aget_tuple(thread("alice"))


@pytest.mark.parametrize("before", [(), (FIRST,)], ids=["in the open", "another key"])
async def test_what_is_stored_is_sealed_under_the_first_key(database_url, rows, before):
    """Then nothing needs another one; conversations are as they were, and go on."""
    async with Checkpointer(sealed(*before), url=database_url) as checkpointer:
        for name in ("alice", "bob"):
            await converse(checkpointer.saver, name)
        history = [found async for found in checkpointer.saver.alist(None)]
    async with Checkpointer(sealed(SECOND, *before), url=database_url) as checkpointer:
        assert await checkpointer.reseal() > 0
        assert await checkpointer.reseal() == 0
    stored = "".join(str(row) for table in TABLES for row in rows(f"SELECT t::text FROM {table} t"))
    for secret in (
        "swordfish",
        "9021090210902109",
        "whispered",
        "hushed",
        "confidential",
        "unspoken",
        "mata hari",
    ):
        assert secret not in stored
        assert secret.encode().hex() not in stored
    async with Checkpointer(sealed(SECOND), url=database_url) as checkpointer:
        assert [found async for found in checkpointer.saver.alist(None)] == history
        assert len((await converse(checkpointer.saver))["log"]) == 6


async def test_more_than_a_page_is_sealed(database_url, rows):
    """Tables are gone through to their end, in pages that fit into the memory."""
    async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
        for number in range(450):
            checkpoint = empty_checkpoint()
            checkpoint["channel_values"] = {"text": ["x" * 30_000], "flag": True}
            checkpoint["channel_versions"] = {"text": "1", "flag": "1"}
            place = {"configurable": {"thread_id": f"t{number}", "checkpoint_ns": ""}}
            await checkpointer.saver.aput(place, checkpoint, {}, {"text": "1", "flag": "1"})
    async with Checkpointer(sealed(FIRST), url=database_url) as checkpointer:
        assert await checkpointer.reseal() == 900
        found = await checkpointer.saver.aget_tuple(thread("t449"))
        assert found.checkpoint["channel_values"] == {"text": ["x" * 30_000], "flag": True}
    assert rows("SELECT count(*) FROM checkpoint_blobs WHERE type NOT LIKE '%aesgcm%'") == [(0,)]


async def test_without_a_key_nothing_is_sealed_again(database_url):
    """It is said what is missing: a key, or the one that a row needs."""
    async with Checkpointer(sealed(FIRST), url=database_url) as checkpointer:
        await converse(checkpointer.saver)
    async with Checkpointer(CheckpointerSettings(), url=database_url) as checkpointer:
        with pytest.raises(CheckpointError, match="ENCRYPTION_KEYS"):
            await checkpointer.reseal()
    async with Checkpointer(sealed(SECOND), url=database_url) as checkpointer:
        with pytest.raises(CheckpointError, match="'alice': it was sealed as"):
            await checkpointer.reseal()


async def test_items_of_the_store_are_sealed(database_url, rows):
    """Nothing of an item can be read but its place and what is named plain, which is filtered."""
    settings = StoreSettings(encryption_keys=(FIRST,), plain_fields=("kind",))
    async with LongTerm(settings, url=database_url) as long_term:
        store = long_term.store
        await store.aput(("spies", "1"), "name", {"name": "mata hari", "kind": "spy"})
        await store.aput(("spies", "1"), "empty", {})
        assert (await store.aget(("spies", "1"), "name")).value["name"] == "mata hari"
        assert (await store.aget(("spies", "1"), "empty")).value == {}
        found = await store.asearch(("spies",), filter={"kind": "spy"})
        assert [item.value["name"] for item in found] == ["mata hari"]
        with pytest.raises(CheckpointError, match=r"'name' is sealed .*STORE__PLAIN_FIELDS"):
            await store.asearch(("spies",), filter={"name": {"$ne": "x"}})
    assert "mata" not in str(rows("SELECT value::text FROM store"))
    async with LongTerm(StoreSettings(), url=database_url) as long_term:
        with pytest.raises(CheckpointError, match="no key to open it"):
            await long_term.store.aget(("spies", "1"), "name")


async def test_items_are_sealed_under_the_first_key(database_url, rows):
    """What was stored in the open, or under another key, can be read and is sealed anew."""
    async with LongTerm(StoreSettings(), url=database_url) as long_term:
        for number in range(450):
            await long_term.store.aput(("a",), f"k{number}", {"text": f"hushed {number}"})
    for keys, done in ((FIRST,), 450), ((SECOND, FIRST), 450), ((SECOND,), 0):
        settings = StoreSettings(encryption_keys=keys)
        async with LongTerm(settings, url=database_url) as long_term:
            item = await long_term.store.aget(("a",), "k7")
            assert item.value == {"text": "hushed 7"}
            assert await long_term.reseal() == done
            assert "hushed" not in str(rows("SELECT value::text FROM store"))


async def test_a_search_that_is_refused_later_is_refused_in_memory(relay):
    """Before the database is there, a program learns the same as then."""
    async with LongTerm(StoreSettings(encryption_keys=(FIRST,)), url=relay.url) as long_term:
        assert long_term.state == "degraded"
        with pytest.raises(CheckpointError, match="'name' is sealed"):
            await long_term.store.asearch(("spies",), filter={"name": "x"})


def test_the_stores_keys_are_the_checkpointers_unless_it_has_its_own():
    """An empty list leaves items in the open."""
    checkpoints = sealed(FIRST)
    for own, used in ((None, 1), ((), 0), ((FIRST, SECOND), 2)):
        settings = StoreSettings(encryption_keys=own).beside(checkpoints)
        assert len(settings.encryption_keys or ()) == used


async def test_what_was_changed_is_not_opened(database_url, rows):
    """A ciphertext that somebody has touched is an error, never another value."""
    async with Checkpointer(sealed(FIRST), url=database_url) as checkpointer:
        await converse(checkpointer.saver)
        rows("UPDATE checkpoint_blobs SET blob = set_byte(blob, 20, get_byte(blob, 20) # 1)")
        with pytest.raises(CheckpointError, match="has been changed"):
            await checkpointer.saver.aget_tuple(thread("alice"))


async def test_what_is_named_plain_can_be_searched(database_url):
    """A search for what is sealed is refused, and says what to do about it."""
    settings = sealed(FIRST, plain_metadata=("user",))
    async with Checkpointer(settings, url=database_url) as checkpointer:
        await converse(checkpointer.saver)
        found = [f async for f in checkpointer.saver.alist(None, filter={"user": "mata hari"})]
        assert found
        assert len(await checkpointer.threads(metadata={"user": "mata hari"})) == 1
        assert len(await checkpointer.threads(metadata={"source": "input"})) == 1
        with pytest.raises(CheckpointError, match="'mission' is sealed"):
            await checkpointer.threads(metadata={"mission": 1})
        with pytest.raises(CheckpointError, match="PLAIN_METADATA"):
            _ = [f async for f in checkpointer.saver.alist(None, filter={"mission": 1})]


async def test_langgraphs_own_saver_goes_on_with_the_same_cipher(database_url):
    """Sealed values have the form of LangGraph's encrypted serialiser, in both directions."""
    ring = KeyRing([FIRST])
    async with (
        Checkpointer(sealed(FIRST), url=database_url) as checkpointer,
        AsyncPostgresSaver.from_conn_string(database_url, serde=EncryptedSerializer(ring)) as stock,
    ):
        for number, saver in enumerate((checkpointer.saver, stock, checkpointer.saver), 1):
            state = await converse(saver)
            assert len(state["log"]) == 3 * number


async def test_it_conforms(database_url):
    """Sealed, all of LangGraph's tests for savers pass that search nothing that is sealed."""

    @checkpointer_test(name="agentinfra")
    async def saver() -> AsyncIterator[object]:
        names = ("a", "b", "custom_key", "score", "writes", "user")
        settings = sealed(FIRST, plain_metadata=names)
        async with Checkpointer(settings, url=database_url) as checkpointer:
            yield checkpointer.saver

    report = await validate(saver)
    assert report.passed_all(), report.results


async def test_pruning_needs_no_key(database_url):
    """What goes is decided by places and counters, which are plain."""
    async with Checkpointer(sealed(FIRST), url=database_url) as checkpointer:
        await converse(checkpointer.saver)
    async with Checkpointer(CheckpointerSettings(), url=database_url) as other:
        assert (await other.prune(keep_last=1)).checkpoints > 1
    async with Checkpointer(sealed(FIRST), url=database_url) as checkpointer:
        state = await graph_of(checkpointer.saver).aget_state(thread("alice"))
        assert state.values["log"] == ["whispered", "hushed", "unspoken"]


class Vault:
    """Somebody's own way to seal: what it does is not our business."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "vault", bytes(byte ^ 0x55 for byte in plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "vault"
        return bytes(byte ^ 0x55 for byte in ciphertext)


async def test_a_cipher_of_ones_own_is_taken(database_url, rows):
    """A runtime is given anything with LangGraph's two methods, for keys that lie elsewhere."""
    off = {"enabled": False}
    settings = Settings(llm=off, cache=off, database={"url": database_url}, logging=off)
    async with InfraRuntime(settings, cipher=Vault()) as rt:
        assert (await converse(rt.checkpointer))["word"] == "swordfish"
    assert rows("SELECT DISTINCT split_part(type, '+', 2) FROM checkpoint_blobs") == [("vault",)]


@pytest.mark.parametrize("text", ["short", "x" * 44, base64.b64encode(bytes(31)).decode()])
def test_a_key_that_is_none_is_told_at_once(text):
    """The sentence says which one it is and not what it says."""
    with pytest.raises(ConfigurationError, match=r"encryption_keys\[1\]") as caught:
        Checkpointer(sealed(FIRST, text))
    assert text not in str(caught.value)
    assert FIRST not in repr(sealed(FIRST))


def test_keys_may_be_hexadecimal():
    """The same key is the same in either writing."""
    one, other = KeyRing([FIRST]), KeyRing([(b"\x01" * 32).hex()])
    assert other.decrypt(*one.encrypt(b"x")) == b"x"
    assert FIRST not in repr(one)
