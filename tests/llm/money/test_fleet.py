"""Real processes that spend from one account, and are killed in the middle of it."""

import asyncio
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


class Spenders:
    """The processes, and what they have told: some are killed when so many calls have ended."""

    def __init__(self, *arguments, killed):
        self.finished = []
        self._killed = dict(killed)
        self._lock = threading.Lock()
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(SPENDER), *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(PROCESSES)
        ]
        self._threads = [
            threading.Thread(target=self._listen, args=(process,)) for process in self.processes
        ]

    def run(self):
        """Begin together, and wait until all have ended; return how each one did."""
        for process in self.processes:
            assert process.stdout.readline() == "ready\n"
        for process, thread in zip(self.processes, self._threads, strict=True):
            process.stdin.write("go\n")
            process.stdin.close()
            thread.start()
        for thread in self._threads:
            thread.join()
        return [process.wait() for process in self.processes]

    def _listen(self, process):
        for line in process.stdout:
            with self._lock:
                self.finished.append(line.strip())
                dies = self._killed.pop(len(self.finished), None)
            if dies is not None:
                self.processes[dies].kill()
        process.stdout.close()


async def test_processes_that_are_killed_break_no_cap_and_lose_no_cent(server, postgres_url, fleet):
    """The server has billed no more than the cap, and the ledger has every call that ended."""
    server.on("hello", Reply(text="x", usage=USAGE, delay=0.002))
    arguments = (server.base_url, postgres_url, fleet.folder, CALLS, CAP)
    spenders = Spenders(*arguments, killed={40: 0, 80: 2})
    assert await asyncio.to_thread(spenders.run) == [-9, 0, -9, 0]
    billed = sum(COST for record in server.ledger.requests if record.usage is not None)
    assert CAP * Decimal("0.7") < billed <= CAP
    fleet.begin_now()
    await fleet.clock.advance(31)  # the term of the leases of those that were killed
    async with fleet.process() as budgets:
        account = budgets.of("fleet", usd=CAP, per="run")
        await account.refresh()
        await account.refresh()
        assert account.reserved == 0
        # One that was killed may have settled a call, and had no time to tell of it.
        assert 0 <= account.spent / COST - len(spenders.finished) <= 2
        assert account.lost >= billed - account.spent
        assert account.spent + account.lost <= CAP
