"""What every test starts from: nobody's settings but its own."""

import asyncio
import os
import signal

import pytest
from hypothesis import settings

from agentinfra.settings.sources import PREFIX, WELL_KNOWN

# How long an example takes says something of the machine, nothing of the code.
settings.register_profile("agentinfra", deadline=None)
settings.load_profile("agentinfra")


# A shell starts what it runs in the background with SIGINT ignored; the programs that tests start
# would inherit that, and the Ctrl-C that tests send them would be lost.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def clock(manual_clock):
    """The kit's clock, by the name its arguments have."""
    return manual_clock


@pytest.fixture
async def no_tasks_left():
    """Fails a test that leaves a task behind."""
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path_factory):
    """Keep the variables and the .env of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.removesuffix("_FILE") in WELL_KNOWN or name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))
