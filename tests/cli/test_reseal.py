"""Sealing what is stored under another key, from the command line."""

import asyncio
import base64
import json

from agentinfra.checkpoint import Checkpointer
from agentinfra.checkpoint.store import LongTerm
from agentinfra.cli import main
from agentinfra.settings import CheckpointerSettings, StoreSettings

FIRST, SECOND = (base64.b64encode(bytes([n] * 32)).decode() for n in (1, 2))


def test_what_is_stored_is_sealed_under_the_first_key(plain, monkeypatch, capsys, postgres_url):
    """Conversations and items are, and then the old key is needed for nothing."""

    async def remember(key: str) -> None:
        from langgraph.checkpoint.base import empty_checkpoint

        place = {"configurable": {"thread_id": "alice", "checkpoint_ns": ""}}
        checkpoint = empty_checkpoint() | {
            "channel_values": {"word": "hushed"},
            "channel_versions": {"word": "1"},
        }
        settings = CheckpointerSettings(encryption_keys=(key,))
        async with Checkpointer(settings, url=postgres_url) as checkpointer:
            await checkpointer.saver.aput(place, checkpoint, {}, {"word": "1"})
        async with LongTerm(StoreSettings(encryption_keys=(key,)), url=postgres_url) as long_term:
            await long_term.store.aput(("spies",), "k", {"name": "mata hari"})

    async def recall(key: str) -> tuple[str, str]:
        settings = CheckpointerSettings(encryption_keys=(key,))
        async with Checkpointer(settings, url=postgres_url) as checkpointer:
            found = await checkpointer.saver.aget_tuple({"configurable": {"thread_id": "alice"}})
        async with LongTerm(StoreSettings(encryption_keys=(key,)), url=postgres_url) as long_term:
            item = await long_term.store.aget(("spies",), "k")
        return found.checkpoint["channel_values"]["word"], item.value["name"]

    asyncio.run(remember(FIRST))
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    keys = json.dumps([SECOND, FIRST])
    monkeypatch.setenv("AGENTINFRA_CHECKPOINTER__ENCRYPTION_KEYS", keys)
    assert main(["reseal", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 1, "items": 1}
    assert main(["reseal"]) == 0
    assert capsys.readouterr().out.startswith("sealed 0 rows of conversations and 0 items")
    assert asyncio.run(recall(SECOND)) == ("hushed", "mata hari")


def test_without_a_key_it_says_what_to_set(plain, monkeypatch, capsys, postgres_url):
    """Nothing is done, and the sentence names the setting."""
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    assert main(["reseal"]) == 1
    assert "AGENTINFRA_CHECKPOINTER__ENCRYPTION_KEYS" in capsys.readouterr().err
