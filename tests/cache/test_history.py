"""What processes read from one Redis while others write, are killed and stand still."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WORKER = Path(__file__).parent / "history_worker.py"
FOREVER = float("inf")


def violations(paths):
    """Return the reads that found a value after its successor was acknowledged.

    A value is that of the operation it is named after. It is older than a write that began after
    the value's own set had ended, or after its loader had begun. A miss is never wrong.
    """
    begun, ended, loaded, writes, reads = {}, {}, {}, [], []
    for path in paths:
        for line in path.read_text().splitlines():
            try:
                fact = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last words of a process that was killed
            if "begins" in fact:
                begun[fact["op"]] = fact
            elif "loads" in fact:
                loaded[fact["op"]] = fact["at"]
            else:
                ended[fact["op"]] = fact
    for op, end in ended.items():
        begin = begun[op]
        if end["ends"] in ("set", "delete", "clear") and end["sure"]:
            key = None if end["ends"] == "clear" else begin["key"]
            writes.append((begin["at"], end["at"], key, op))
        # A caller of a load under way gets its value: only what a get finds was stored.
        if end["ends"] == "get" and end["got"] is not None:
            reads.append((begin["at"], begin["key"], end["got"]))
    found = []
    for asked, key, value in reads:
        sure = value in ended and ended[value]["sure"]
        born = loaded.get(value, ended[value]["at"] if sure else FOREVER)
        found += [
            (key, value, op)
            for start, end, about, op in writes
            if about in (None, key) and op != value and start > born and end < asked
        ]
    return found, len(reads)


def run(redis_server, folder, *, seconds, memory, slow=0):
    """Let three processes work; one is killed and replaced, and one stands still for a while."""
    paths, children = [], []

    def start(seed):
        paths.append(folder / f"{seed}.jsonl")
        words = [redis_server.url, str(paths[-1]), seed, str(seconds), str(memory), str(slow)]
        children.append(subprocess.Popen([sys.executable, str(WORKER), *words]))

    for seed in ("one", "two", "three"):
        start(seed)
    while not all(path.exists() and path.stat().st_size > 1_000 for path in paths):
        assert all(child.poll() is None for child in children), "a process has ended already"
        time.sleep(0.01)
    children[0].kill()
    children[1].send_signal(signal.SIGSTOP)
    start("four")
    time.sleep(seconds / 3)
    children[1].send_signal(signal.SIGCONT)
    for child in children:
        child.wait(timeout=30)
    return violations(paths)


@pytest.mark.parametrize("slow", [0, 1], ids=["at once", "slow network"])
def test_nothing_is_read_after_its_successor_was_acknowledged(redis_server, tmp_path, slow):
    """Kills, pauses and delays bring no old and no deleted value back.

    Without memory in front: there, what others change is heard a moment later.
    """
    found, reads = run(redis_server, tmp_path, seconds=3 if slow else 2, memory=0, slow=slow)
    assert found == []
    assert reads > (20 if slow else 100)


def test_the_check_sees_an_old_value(tmp_path):
    """A history in which a deleted value is read is found out."""
    facts = [
        {"at": 1, "op": "s", "begins": "set", "key": "a"},
        {"at": 2, "op": "s", "ends": "set", "got": None, "sure": True},
        {"at": 3, "op": "d", "begins": "delete", "key": "a"},
        {"at": 4, "op": "d", "ends": "delete", "got": None, "sure": True},
        {"at": 5, "op": "g", "begins": "get", "key": "a"},
        {"at": 6, "op": "g", "ends": "get", "got": "s", "sure": True},
    ]
    path = tmp_path / "history"
    path.write_text("\n".join(map(json.dumps, facts)))
    assert violations([path]) == ([("a", "s", "d")], 1)


def test_a_thousand_callers_in_four_processes_cause_one_load(redis_server, tmp_path):
    """Whoever comes first loads; the others, here and elsewhere, wait for what it stores."""
    loads = tmp_path / "loads"
    words = [str(WORKER.with_name("flight_worker.py")), redis_server.url, str(loads), "250"]
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen([sys.executable, *words], **piped) for _ in range(4)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate(timeout=60)[0] for child in children]
    assert said == ["250 {'the one value'}\n"] * 4
    assert len(loads.read_text().splitlines()) == 1
