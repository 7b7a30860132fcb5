"""The demo as a program: answers as JSON, memory between processes, and no leftovers."""

import asyncio
import json
import os
import pty
import re
import select
import signal
import time

from agentinfra.cli import main
from agentinfra.demo.standin import stand_in
from agentinfra.testing import OpenAIServer, Reply, faults

KEYS = {
    *("question", "agent", "answer", "sources", "sql", "rows", "usage", "cost_usd", "cache"),
    *("degraded", "trace_id", "thread_id", "latency"),
}
QUESTION = "How many orders were placed in total?"


def test_a_stranger_gets_answers_without_any_setting(home):
    """Without key and database the first run answers; the second remembers and goes on."""
    first = home.run("demo", "--json", "--ask", QUESTION)
    assert first.returncode == 0, first.stderr
    [line] = first.stdout.splitlines()
    row = json.loads(line)
    assert set(row) == KEYS
    assert row["rows"] == [{"order_count": 1800}]
    assert row["cache"]["response"] == "miss"
    assert "no model" in row["degraded"]
    assert row["cost_usd"] is None
    assert first.stderr.count("\n") == 1
    assert "a local stand-in answers, which is no model" in first.stderr
    assert home.servers() == []

    questions = home.folder / "questions.txt"
    questions.write_text(f"And in 2024?\n\n{QUESTION}\n")
    second = home.run("demo", "--json", "--thread", row["thread_id"], "--file", str(questions))
    follow_up, same = map(json.loads, second.stdout.splitlines())
    assert follow_up["rows"] == [{"order_count": 725}]
    assert follow_up["thread_id"] == row["thread_id"]
    assert same["cache"]["response"] == "hit"
    assert same["answer"] == row["answer"]
    assert home.servers() == []


def test_questions_are_read_from_a_pipe(plain, endpoint, monkeypatch, capsys):
    """Lines on standard input are questions, up to an empty one; plain text comes back."""
    reading, writing = os.pipe()
    os.write(writing, b"How do I start the stack?\nWhat is a budget?\n\nnot asked\n")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint)
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    monkeypatch.setenv("AGENTINFRA_DATABASE__ENABLED", "false")
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr("sys.stdin", pipe)
        assert main(["demo"]) == 0
    os.close(writing)
    shown = capsys.readouterr()
    assert "> How do I start the stack?" in shown.out
    assert "> What is a budget?" in shown.out
    assert "not asked" not in shown.out
    assert "\x1b[" not in shown.out + shown.err
    assert shown.err.count("\n") == 1
    assert "the database is not available" in shown.err


def test_a_failed_question_is_a_line_and_status_1(plain, monkeypatch, capsys):
    """A model that cannot be reached fails the question in one line."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("AGENTINFRA_LLM__MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AGENTINFRA_DATABASE__ENABLED", "false")
    assert main(["demo", "--json", "--ask", QUESTION]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"agentinfra: no answer to '{QUESTION}': " in shown.err
    assert "Traceback" not in shown.err


def interrupted(process, home, *, times: int = 1) -> None:
    """Send Ctrl-C and see that nothing is left."""
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.endswith("agentinfra: interrupted\n")
    assert "Traceback" not in err
    assert home.servers() == []


def test_ctrl_c_while_starting_leaves_nothing(home):
    """An interrupted start stops the server it has begun to start."""
    with home.start("demo", "--ask", QUESTION) as process:
        while not home.servers():
            assert process.poll() is None
        interrupted(process, home)


async def test_ctrl_c_while_answering_leaves_nothing(home):
    """An interrupted answer ends its request, and the database is stopped; twice is as once."""
    async with OpenAIServer(default=stand_in) as server:
        server.fail_always(faults.hang(), when="chat")
        with home.start(
            "demo", "--ask", QUESTION, env={"OPENAI_BASE_URL": server.base_url}
        ) as process:
            await server.wait_for_requests(
                server.ledger.count(path="/v1/embeddings") + 1, timeout=60
            )
            while not any("chat" in record.path for record in server.ledger.requests):
                await server.wait_for_requests(server.ledger.count() + 1, timeout=60)
            interrupted(process, home, times=3)
        await server.wait_until_idle()


def test_ctrl_c_while_stopping_leaves_nothing(home):
    """Closing goes on to its end, however often it is interrupted."""
    with home.start("demo", "--json", "--ask", QUESTION) as process:
        process.stdout.readline()
        for _ in range(5):
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert "Traceback" not in err
    assert home.servers() == []


class Terminal:
    """The other end of a terminal."""

    def __init__(self) -> None:
        self.descriptor, self.side = pty.openpty()
        self.text = ""
        self._seen = 0

    async def wait_for(self, words: str) -> None:
        """Read until some words have come, after those waited for last."""
        while (place := self.text.find(words, self._seen)) < 0:
            self.text += await asyncio.to_thread(self._read, words)
        self._seen = place + len(words)

    def _read(self, words: str) -> str:
        ready, _, _ = select.select([self.descriptor], [], [], 90)
        assert ready, f"no {words!r} in {self.text[self._seen :]}"
        data = os.read(self.descriptor, 65_536)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data.decode(errors="replace"))

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self.descriptor, text.encode())


async def test_ctrl_c_at_the_prompt_cancels_the_question_first(home, postgres_url):
    """The first Ctrl-C ends the running question, the next one the program."""
    terminal = Terminal()
    async with OpenAIServer(default=stand_in) as server:
        env = {"OPENAI_BASE_URL": server.base_url, "DATABASE_URL": postgres_url, "TERM": "xterm"}
        side = terminal.side
        with home.start("demo", stdin=side, stdout=side, stderr=side, env=env) as process:
            os.close(side)
            await terminal.wait_for("> ")
            server.script(Reply(text="never", delay=600.0))
            terminal.type("How many orders are there in 2031?\n")
            await server.wait_for_requests(server.ledger.count() + 1, timeout=60)
            process.send_signal(signal.SIGINT)
            await terminal.wait_for("the question was cancelled")
            await terminal.wait_for("> ")
            terminal.type(f"{QUESTION}\n")
            await terminal.wait_for("trace")
            await terminal.wait_for("> ")
            process.send_signal(signal.SIGINT)
            await terminal.wait_for("interrupted")
            await asyncio.to_thread(process.wait, 60)
    assert process.returncode == 130
    assert "The answer is 1800" in terminal.text


def test_a_question_without_an_answer_is_status_1(plain, endpoint, monkeypatch, capsys):
    """A sentence that says why there is none is no answer, and one of two is not both."""
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint)
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    monkeypatch.setenv("AGENTINFRA_DATABASE__ENABLED", "false")
    asked = ["--ask", "What is a budget?", "--ask", "What was the revenue in 2025?"]
    assert main(["demo", "--json", *asked]) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "budget" in first["answer"]
    assert "is not available, so I cannot answer" in second["answer"]
    assert set(second) == KEYS


def test_what_is_skipped_is_named_and_the_run_goes_on(plain, endpoint, monkeypatch, capsys):
    """Files that cannot be used are left out, each in a line with the reason."""
    (plain / "good.md").write_text("# Refunds\n\nRefunds are paid within 14 days.\n")
    (plain / "empty.md").write_text("\n")
    (plain / "picture.txt").write_bytes(b"\x89PNG\0\0\0")
    (plain / "gone.md").symlink_to(plain / "nowhere.md")
    (plain / "long.md").write_bytes(b"x" * 10_000_001)
    os.mkfifo(plain / "pipe.txt")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint)
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    monkeypatch.setenv("AGENTINFRA_DATABASE__ENABLED", "false")
    asked = ["--docs", str(plain), "--ask", "When are refunds paid?"]
    assert main(["demo", "--json", *asked]) == 0
    shown = capsys.readouterr()
    assert "14 days" in json.loads(shown.out)["answer"]
    lines = [line.removeprefix("agentinfra: skipped ") for line in shown.err.splitlines()]
    skipped = {line.partition(": ")[0]: line for line in lines if line[:5] != "agent"}
    assert set(skipped) == {"empty.md", "picture.txt", "gone.md", "long.md", "pipe.txt"}
    assert "no text in it" in skipped["empty.md"]
    assert "no text" in skipped["picture.txt"]
    assert "No such file" in skipped["gone.md"]
    assert "10,000,000 bytes" in skipped["long.md"]


def test_the_reader_of_the_demo_may_leave(home, endpoint):
    """`| head -1` ends it without a traceback, in either form."""
    for form in ((), ("--json",)):
        reading, writing = os.pipe()
        env = {
            "OPENAI_BASE_URL": endpoint,
            "OPENAI_API_KEY": "sesame",
            "AGENTINFRA_DATABASE__ENABLED": "false",
        }
        asked = ["--ask", "What is a budget?", "--ask", "How do I start the stack?"]
        with home.start("demo", *asked, *form, env=env, stdout=writing) as process:
            os.close(writing)
            os.close(reading)
            error = process.stderr.read()
            assert process.wait(60) == 1
        assert "Traceback" not in error
        assert "Exception ignored" not in error
