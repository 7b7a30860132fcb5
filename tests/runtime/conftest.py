"""Settings that reach nothing outside of the machine."""

import pytest

from agentinfra import Settings


@pytest.fixture
def quiet():
    """Make settings without a server of any kind; groups given go before."""

    def make(**groups):
        return Settings(
            **{
                "llm": {"base_url": "http://127.0.0.1:9/v1", "api_key": "x"},
                "database": {"enabled": False},
                "checkpointer": {"backend": "memory"},
                "logging": {"json_output": True, "level": "warning"},
                **groups,
            }
        )

    return make
