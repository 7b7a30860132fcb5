"""Real processes that spend from one account, and are killed in the middle of it."""

import random
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

from agentinfra.results import Usage
from agentinfra.testing.replies import Reply

SPENDER = Path(__file__).with_name("spender.py")
USAGE = Usage(prompt_tokens=1000, completion_tokens=1400, total_tokens=2400)
COST = Decimal("0.00099")
CALLS, PROCESSES, CAP = 100, 4, Decimal("0.2")


class Spender:
    """One of them; it is killed when it has told of so many calls, where that is said."""

    def __init__(self, *arguments, dies_after=None):
        self.finished = []
        self.process = subprocess.Popen(
            [sys.executable, str(SPENDER), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._dies_after = dies_after
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self):
        for line in self.process.stdout:
            self.finished.append(line.strip())
            if len(self.finished) == self._dies_after:
                self.process.kill()

    def join(self):
        self._thread.join()
        said = self.process.stderr.read()
        self.process.stderr.close()
        self.process.stdout.close()
        assert self.process.wait() == (0 if self._dies_after is None else -9), said


async def test_processes_that_are_killed_break_no_cap_and_lose_no_cent(
    server, postgres_url, fleet, tmp_path
):
    """The server has billed no more than the cap, and the ledger has every call that ended."""
    server.on("hello", Reply(text="x", usage=USAGE, delay=0.002))
    dice = random.Random(11)
    arguments = (server.base_url, postgres_url, fleet.folder, CALLS, CAP)
    spenders = [
        Spender(*arguments, dies_after=None if number % 2 else dice.randrange(5, 25))
        for number in range(PROCESSES)
    ]
    for spender in spenders:
        spender.join()
    billed = sum(COST for record in server.ledger.requests if record.usage is not None)
    ended = [number for spender in spenders for number in spender.finished]
    assert CAP * Decimal("0.7") < billed <= CAP
    fleet.begin_now()
    await fleet.clock.advance(31)  # the term of the leases of those that were killed
    async with fleet.process() as budgets:
        account = budgets.of("fleet", usd=CAP, per="run")
        await account.refresh()
        await account.refresh()
        assert account.reserved == 0
        assert account.spent == COST * len(ended)
        assert account.lost >= billed - account.spent
        assert account.spent + account.lost <= CAP
