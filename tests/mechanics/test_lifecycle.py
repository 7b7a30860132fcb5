"""Opening in levels, rolling back, and closing everything."""

import asyncio

import pytest

from agentinfra._mechanics.lifecycle import Lifecycle
from agentinfra._mechanics.resource import Resource
from agentinfra.errors import (
    ClosedError,
    DatabaseError,
    LifecycleError,
    NotStartedError,
    WrongLoopError,
)


class _Part(Resource):
    def __init__(self, name, log, *, fails=None, hangs=False, close_fails=None):
        super().__init__()
        self.name = name
        self.log, self.fails, self.hangs, self.close_fails = log, fails, hangs, close_fails

    async def _open(self):
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise self.fails
        self.log.append(f"+{self.name}")

    async def _close(self):
        await asyncio.sleep(0)
        self.log.append(f"-{self.name}")
        if self.close_fails:
            raise self.close_fails

    async def work(self, gate):
        with self._working():
            await gate.wait()


@pytest.fixture
def log():
    return []


def _lifecycle(opened=None, required=(), not_closed=None, **more):
    opened = opened if opened is not None else []
    failures = not_closed if not_closed is not None else []
    times = {"start_timeout": 1.0, "stop_timeout": 0.5, **more}
    return Lifecycle(
        required=required,
        opened=opened.append,
        not_closed=lambda part, error: failures.append((part.name, error)),
        **times,
    )


async def _close(lifecycle):
    await lifecycle.close(began=asyncio.get_running_loop().time(), leaving=None)


async def test_closing_is_in_reverse_order(log):
    """What was opened first is closed last."""
    lifecycle = _lifecycle()
    await lifecycle.open(_Part("a", log))
    await lifecycle.open(_Part("b", log))
    await _close(lifecycle)
    assert log == ["+a", "+b", "-b", "-a"]


async def test_an_optional_resource_that_fails_is_degraded(log):
    """Its reason is the error's message, and the others are open."""
    opened = []
    lifecycle = _lifecycle(opened)
    part, other = _Part("db", log, fails=DatabaseError("port closed")), _Part("a", log)
    await lifecycle.open(part, other)
    assert (part.state, part.reason) == ("degraded", "port closed")
    assert (other.state, other.is_open, part.is_open) == ("ready", True, False)
    assert opened == [part, other]
    await _close(lifecycle)


async def test_a_required_resource_that_fails_is_raised(log):
    """The caller sees the resource's own error, not a group; what is half open is closed too."""
    lifecycle = _lifecycle(required=("db",))
    await lifecycle.open(_Part("a", log))
    with pytest.raises(DatabaseError, match="port closed"):
        await lifecycle.open(_Part("db", log, fails=DatabaseError("port closed")))
    await _close(lifecycle)
    assert log == ["+a", "-db", "-a"]


async def test_a_resource_that_hangs_is_degraded_after_the_start_deadline(log):
    """The reason says how long was waited."""
    part = _Part("db", log, hangs=True)
    lifecycle = _lifecycle(start_timeout=0.005)
    await lifecycle.open(part)
    assert part.reason == "not started within 0.005 s"
    await _close(lifecycle)


async def test_no_error_keeps_the_others_from_being_closed(log):
    """Each is told at once, and every resource is closed."""
    failures = []
    lifecycle = _lifecycle(not_closed=failures)
    await lifecycle.open(_Part("a", log, close_fails=ValueError("a")))
    await lifecycle.open(_Part("b", log, close_fails=ValueError("b")))
    await _close(lifecycle)
    assert [(name, str(error)) for name, error in failures] == [("b", "b"), ("a", "a")]
    assert log[-2:] == ["-b", "-a"]


async def test_running_work_is_waited_for_and_new_work_is_refused(log):
    """Draining lets a call end and refuses the next."""
    part, gate = _Part("a", log), asyncio.Event()
    lifecycle = _lifecycle()
    await lifecycle.open(part)
    running = asyncio.create_task(part.work(gate))
    await asyncio.sleep(0)
    closing = asyncio.create_task(_close(lifecycle))
    for _ in range(5):
        await asyncio.sleep(0)
    with pytest.raises(ClosedError):
        await part.work(gate)
    gate.set()
    await closing
    assert running.done()
    assert not running.cancelled()


async def test_work_that_does_not_end_is_cancelled(log):
    """The task is cancelled where it waits, told ClosedError by its call, and closing goes on."""
    part = _Part("a", log)
    lifecycle = _lifecycle(stop_timeout=0.05)
    await lifecycle.open(part)
    running = asyncio.create_task(part.work(asyncio.Event()))
    await asyncio.sleep(0)
    await _close(lifecycle)
    with pytest.raises(ClosedError, match="did not end in time"):
        await running
    assert log == ["+a", "-a"]


async def test_a_resource_says_what_is_wrong_with_its_use(log):
    """Use before entry, twice entered, and after leaving each have their error."""
    part, gate = _Part("a", log), asyncio.Event()
    with pytest.raises(NotStartedError, match="enter it"):
        await part.work(gate)
    async with part:
        with pytest.raises(LifecycleError, match="already entered"):
            await part.__aenter__()
    with pytest.raises(ClosedError, match="closed"):
        await part.work(gate)


def test_use_from_another_loop_names_both(log):
    """The error of the wrong loop names the two loops."""
    part = _Part("a", log)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(part.__aenter__())
        with pytest.raises(WrongLoopError, match=r"loop 0x\w+ and was used from loop 0x\w+"):
            second.run(part.work(None))
        first.run(part.aclose())
