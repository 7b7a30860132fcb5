"""The words other modules share: JSON values, messages, states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"

Message: TypeAlias = Mapping[str, Any]
"""One chat message as OpenAI takes it: ``role``, ``content`` and what goes with the role."""

Messages: TypeAlias = Sequence[Message]

ResourceState: TypeAlias = Literal["ready", "degraded", "disabled", "failed"]
"""``ready``: works. ``degraded``: answers with less than was configured, or with a typed error.
``disabled``: switched off by a setting. ``failed``: was ready and does not work now."""
