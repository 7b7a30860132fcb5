"""The stand-in server as a program."""

import signal
from urllib.request import urlopen


def test_it_serves_until_it_is_told_to_stop(home):
    """It prints its address and what to export, answers there, and ends in order."""
    with home.start("serve-fake") as process:
        url = process.stdout.readline().strip()
        with urlopen(f"{url}/models", timeout=30) as response:
            assert response.status == 200
        process.send_signal(signal.SIGINT)
        out, err = process.stdout.read(), process.stderr.read()
        assert process.wait(30) == 0
    assert f"export OPENAI_BASE_URL={url}" in out
    assert "Traceback" not in err
