"""What the tests of observation share: a stream to read back, and a clock that is held still."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest


class LogStream(StringIO):
    """Takes log lines, and reads them back."""

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def stream() -> LogStream:
    return LogStream()
