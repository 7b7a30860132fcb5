"""One process of a fleet that spends from one budget, with what its library has for that.

``python -m benchmarks.budget_client NAME URL DATABASE CALLS CAP`` makes so many calls, 16 at once,
and prints a line a finished call: the number of the request, or ``refused``. It imports nothing of
agentinfra unless it measures it.
"""

from __future__ import annotations

import asyncio
import os
import sys

MODEL = "gpt-4o-mini"
PROMPT = "hello " * 500
MOST = 2100
AT_ONCE = 16
INPUT, OUTPUT = 0.15e-6, 0.6e-6


class Ours:
    """An account of rt.budgets."""

    async def open(self, url, database, cap):
        from agentinfra import InfraRuntime, Settings

        settings = Settings(
            llm={"base_url": url, "api_key": "x", "max_attempts": 1},
            database={"url": database, "max_size": 2},
            checkpointer={"enabled": False},
            cache={"enabled": False},
            logging={"level": "error"},
            budgets={"lease_term": 2},
        )
        self.rt = InfraRuntime(settings)
        await self.rt.__aenter__()
        self.account = self.rt.budgets.of("fleet", usd=cap, per="run")

    async def call(self):
        from agentinfra import BudgetExceededError

        messages = [{"role": "user", "content": PROMPT}]
        try:
            async with self.account:
                reply = await self.rt.llm.chat_completion(messages, max_tokens=MOST)
        except BudgetExceededError:
            return None
        return reply.request_id

    async def close(self):
        await self.rt.aclose()


class LiteLLM:
    """litellm's BudgetManager: asked before each call, told after it; it keeps a file."""

    async def open(self, url, _database, cap):
        import litellm

        litellm.suppress_debug_info = True
        litellm.telemetry = False
        self.litellm, self.url = litellm, url
        self.manager = litellm.BudgetManager(project_name="fleet")
        if not self.manager.is_valid_user("acme"):
            self.manager.create_budget(total_budget=cap, user="acme")

    async def call(self):
        if self.manager.get_current_cost("acme") > self.manager.get_total_budget("acme"):
            return None
        answer = await self.litellm.acompletion(
            model=f"openai/{MODEL}",
            messages=[{"role": "user", "content": PROMPT}],
            api_base=self.url,
            api_key="x",
            max_tokens=MOST,
            num_retries=0,
        )
        self.manager.update_cost(user="acme", completion_obj=answer)
        return "?"

    async def close(self):
        pass


class PydanticAI:
    """pydantic-ai's UsageLimits: a number of tokens, for runs that hand on their usage."""

    async def open(self, url, _database, cap):
        from pydantic_ai import Agent
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider
        from pydantic_ai.usage import RunUsage, UsageLimits

        provider = OpenAIProvider(base_url=url, api_key="x")
        self.agent = Agent(OpenAIChatModel(MODEL, provider=provider))
        self.usage = RunUsage()
        # It knows no money: the cap as tokens of the dearer kind, and of the mix of these calls.
        self.limits = UsageLimits(request_limit=None, total_tokens_limit=int(cap / MIX))

    async def call(self):
        from pydantic_ai.exceptions import UsageLimitExceeded

        try:
            await self.agent.run(
                PROMPT,
                usage=self.usage,
                usage_limits=self.limits,
                model_settings={"max_tokens": MOST},
            )
        except UsageLimitExceeded:
            return None
        return "?"

    async def close(self):
        pass


MIX = (1000 * INPUT + 2000 * OUTPUT) / 3000
"""US dollars a token, in the calls of this benchmark."""

CLIENTS = {"agentinfra": Ours, "litellm": LiteLLM, "pydantic-ai": PydanticAI}


async def _main(name, url, database, calls, cap):
    client = CLIENTS[name]()
    await client.open(url, database, cap)
    left = calls

    async def caller():
        nonlocal left
        while left > 0:
            left -= 1
            number = await client.call()
            os.write(1, f"{number or 'refused'}\n".encode())

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    await client.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])))
