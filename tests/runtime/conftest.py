"""Settings that reach nothing outside of the machine."""

import pytest

from agentinfra import Settings


@pytest.fixture
def quiet(openai_server):
    """Make settings without a server but the kit's; groups given go before."""

    def make(**groups):
        return Settings(
            **{
                "llm": {"base_url": openai_server.base_url, "api_key": "x"},
                "database": {"enabled": False},
                "checkpointer": {"backend": "memory"},
                "logging": {"json_output": True, "level": "warning"},
                **groups,
            }
        )

    return make
