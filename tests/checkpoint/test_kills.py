"""Killed in the middle: what was acknowledged is there, whole and once.

The long form of both is ``python -m benchmarks kills``.
"""

from __future__ import annotations

import pytest
from benchmarks.kills import Account, kill_processes, kill_servers

pytestmark = pytest.mark.usefixtures("no_tasks_left")


def judged(account: Account) -> tuple[int, int, int]:
    return account.lost, account.broken, account.twice


async def test_nothing_is_lost_when_the_server_is_killed():
    """Every acknowledged checkpoint outlives a server that dies at any moment."""
    account = await kill_servers(3, seed=7)
    assert judged(account) == (0, 0, 0)
    assert len(account.healed) >= 1
    assert len(account.acknowledged) > 3


async def test_nothing_is_lost_when_the_process_is_killed():
    """Another process goes on from what the one that was killed has been told is stored."""
    account = await kill_processes(1, seed=7)
    assert judged(account) == (0, 0, 0)
    assert account.acknowledged
