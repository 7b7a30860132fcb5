"""A process that spends from an account: says the number of each call that has ended."""

import asyncio
import os
import sys

from agentinfra import BudgetExceededError, InfraRuntime, Settings

HELLO = [{"role": "user", "content": "hello " * 500}]


async def main(url, database, folder, calls, cap):
    settings = Settings(
        llm={"base_url": url, "api_key": "x", "max_attempts": 1},
        database={"url": database, "max_size": 2},
        checkpointer={"enabled": False},
        logging={"enabled": False},
        budgets={"journal_dir": folder},
    )
    left = int(calls)
    async with InfraRuntime(settings) as rt:
        fleet = rt.budgets.of("fleet", usd=cap, per="run")

        async def caller():
            nonlocal left
            while left > 0:
                left -= 1
                try:
                    async with fleet:
                        reply = await rt.llm.chat_completion(HELLO, max_tokens=1500)
                except BudgetExceededError:
                    continue
                os.write(1, f"{reply.request_id}\n".encode())

        os.write(1, b"ready\n")
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(caller() for _ in range(8)))


asyncio.run(main(*sys.argv[1:]))
