"""Programs and signals, with real processes: an orderly end, and the right exit status."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from agentinfra import ConfigurationError, InfraRuntime, LifecycleError, Settings

HEAD = """
import asyncio, os, signal, sys, time
from agentinfra import InfraRuntime, Resource, Settings

SETTINGS = Settings(
    llm={"enabled": False},
    database={"enabled": False},
    checkpointer={"enabled": False},
    logging={"level": "error"},
    runtime={"stop_timeout": 2.0},
)

class Part(Resource):
    name = "part"

    async def _close(self):
        say("closed")

    async def work(self):
        with self._working():
            await asyncio.sleep(0.2)
            say("worked")

def say(word):
    print(word, flush=True)
"""


@pytest.fixture
def program(tmp_path):
    """Start a program; it is killed in the end, whatever it does."""
    started = []

    def start(code):
        file = tmp_path / "program.py"
        file.write_text(HEAD + textwrap.dedent(code))
        with (tmp_path / "stderr").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, str(file)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=tmp_path,
            )
        process.errors = tmp_path / "stderr"
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def _end(process, *signals):
    """Send signals once the program says that it is up; return what it said, and its status."""
    assert process.stdout.readline() == "up\n"
    for number in signals:
        process.send_signal(number)
    said = process.stdout.read().split()
    return said, process.wait(timeout=30), process.errors.read_text()


MAIN = """
async def main(rt):
    part = rt.own(Part())
    await part.opened()
    working = asyncio.create_task(part.work())
    await asyncio.sleep(0)
    say("up")
    try:
        await asyncio.Event().wait()
    finally:
        say("unwound")

InfraRuntime.run(main, SETTINGS)
say("never")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_program_in_order(program, number):
    """The program unwinds, running work ends, everything is closed, and the status says which."""
    said, status, err = _end(program(MAIN), number)
    assert said == ["unwound", "worked", "closed"]
    assert status == 128 + number
    assert err == ""


def test_signals_after_the_first_change_nothing(program):
    """An impatient second Ctrl-C does not break what is being closed."""
    said, status, err = _end(program(MAIN), signal.SIGINT, signal.SIGINT, signal.SIGTERM)
    assert said == ["unwound", "worked", "closed"]
    assert status in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert err == ""


def test_what_the_program_returns_and_raises(program):
    """Without a signal the result comes back, and an exception or a status is its own."""
    code = """
    async def main(rt):
        return (await rt.health()).ok

    async def alone():
        return InfraRuntime.current() is not None

    async def fails():
        raise ValueError("its own")

    async def leaves():
        sys.exit(7)

    print(InfraRuntime.run(main, SETTINGS), InfraRuntime.run(alone, SETTINGS))
    try:
        InfraRuntime.run(fails, SETTINGS)
    except ValueError as error:
        say(error)
    say("up")
    InfraRuntime.run(leaves, SETTINGS)
    """
    process = program(code)
    assert process.stdout.readline() == "True True\n"
    assert process.stdout.readline() == "its own\n"
    assert _end(process) == ([], 7, "")


def test_an_error_on_the_way_out_is_the_status(program):
    """A program that fails while it is told to end ends with its own error."""
    code = """
    async def main():
        say("up")
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("its own")

    InfraRuntime.run(main, SETTINGS)
    """
    said, status, err = _end(program(code), signal.SIGTERM)
    assert (said, status) == ([], 1)
    assert "ValueError: its own" in err


def test_a_signal_while_entering_undoes_it(program):
    """What was open is closed, and the status is the signal's."""
    code = """
    class Slow(Part):
        async def _open(self):
            say("up")
            await asyncio.Event().wait()

    class Program(InfraRuntime):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            part = self.own(Part())
            slow = Slow()
            slow.name = "slow"
            self.own(slow, needs=["part"])

    Program.run(lambda: None, SETTINGS)
    """
    said, status, err = _end(program(code), signal.SIGTERM)
    assert (said, status, err) == (["closed"], 143, "")


def test_a_plain_program_leaves_its_block(program):
    """Where nobody handles SIGTERM the block ends as if it had returned; what follows runs."""
    code = """
    async def main():
        async with InfraRuntime(SETTINGS) as rt:
            await rt.own(Part()).opened()
            say("up")
            await asyncio.Event().wait()
        say("after")
        async with InfraRuntime(SETTINGS):
            say("never")

    asyncio.run(main())
    """
    said, status, err = _end(program(code), signal.SIGTERM)
    assert said == ["closed", "after"]
    assert status == 143  # of the second entry: a program told to end enters no other runtime
    assert err == ""


def test_a_runtime_in_another_task_does_not_keep_the_program(program):
    """When the program's own task is another one, SIGTERM ends it, after an orderly leaving."""
    code = """
    async def agent():
        async with InfraRuntime(SETTINGS) as rt:
            await rt.own(Part()).opened()
            say("up")
            await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(agent())
        await asyncio.Event().wait()

    asyncio.run(main())
    """
    assert _end(program(code), signal.SIGTERM) == (["closed"], -signal.SIGTERM, "")


def test_a_handler_of_the_program_stays_in_charge(program):
    """A program that handles SIGTERM itself is left alone, and keeps its handler afterwards."""
    code = """
    def mine(number, frame):
        say("mine")
        stop.set()

    async def main():
        global stop
        stop = asyncio.Event()
        signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(mine, 15, None))
        loop = asyncio.get_running_loop()
        async with InfraRuntime(SETTINGS):
            say("up")
            await stop.wait()
            say("unwound")

    asyncio.run(main())
    """
    assert _end(program(code), signal.SIGTERM) == (["mine", "unwound"], 0, "")


def test_a_forked_child_can_be_terminated(program):
    """A child made by fork has the handler, not the loop: SIGTERM ends it as ever."""
    code = """
    async def main():
        async with InfraRuntime(SETTINGS):
            ready, tell = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.write(tell, b"!")  # before that Python drops the signals of the parent
                for _ in range(1000):
                    time.sleep(0.01)
                os._exit(0)
            os.read(ready, 1)
            os.kill(pid, signal.SIGTERM)
            _, status = await asyncio.to_thread(os.waitpid, pid, 0)
            say("up")
            say(os.WTERMSIG(status))

    asyncio.run(main())
    """
    assert _end(program(code)) == ([str(int(signal.SIGTERM))], 0, "")


def test_the_handlers_are_put_back():
    """After the block SIGTERM means what it meant before."""
    settings = Settings(database={"enabled": False}, checkpointer={"enabled": False})

    async def main():
        return signal.getsignal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert InfraRuntime.run(main, settings) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize("given", ["main()", "3"])
def test_what_is_no_function_is_refused(given):
    """The error says to give the function itself."""

    async def main():
        pass

    with pytest.raises(ConfigurationError, match="give it the function itself"):
        InfraRuntime.run(eval(given))


async def test_a_running_loop_is_refused():
    """Inside of a loop the block is the way."""
    with pytest.raises(LifecycleError, match="async with InfraRuntime"):
        InfraRuntime.run(lambda: None)


def test_the_embedded_server_stops_with_the_program(program):
    """Its process is gone when the program is."""
    code = """
    settings = SETTINGS.with_changes(database={"enabled": True, "data_dir": "temporary"})

    async def main(rt):
        await rt.db.query("SELECT 1")
        print(rt._stateful.server.data_dir, flush=True)
        say("up")
        await asyncio.Event().wait()

    InfraRuntime.run(main, settings)
    """
    process = program(code)
    folder = process.stdout.readline().strip()
    assert folder, process.errors.read_text()
    pid = int((Path(folder) / "postmaster.pid").read_text().split()[0])
    assert _end(process, signal.SIGTERM) == ([], 143, "")
    assert not Path(folder).exists()
    assert not _runs(pid)


def _runs(pid):
    """Say whether a process runs; an ended one may wait to be reaped."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
