"""One of several processes that send to a server with a hidden limit; see ``pacing``."""

from __future__ import annotations

import asyncio
import json
import sys
import time

HELLO = [{"role": "user", "content": "hello"}]


async def _work(url: str, database: str, calls: int) -> None:
    from agentinfra import InfraRuntime, Settings

    settings = Settings(
        llm={"base_url": url, "api_key": "x", "max_attempts": 10},
        database={"url": database} if database else {"enabled": False},
        cache={"enabled": False},
        checkpointer={"enabled": False},
        metrics={"enabled": False},
        logging={"level": "critical"},
    )
    async with InfraRuntime(settings) as rt:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)  # all of them begin together
        work = (rt.llm.chat_completion(HELLO) for _ in range(calls))
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        ended = time.time()
    failed = sum(isinstance(outcome, BaseException) for outcome in outcomes)
    print(json.dumps({"failed": failed, "ended": ended}), flush=True)


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], sys.argv[2], int(sys.argv[3])))
