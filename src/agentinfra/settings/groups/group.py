"""What all groups of settings have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from agentinfra.settings.refusal import RefusedError, faults_of

__all__ = ["BLANK_IS_NONE", "Group"]


class Group(BaseModel):
    """A group: frozen, strict about names, and silent about values in complaints.

    Raises:
        ConfigurationError: A value cannot be used; the message names its field.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            faults = tuple(faults_of(error, type(self).model_fields))
        else:
            return
        # Raised out here: pydantic's error, which holds the values, would be its context.
        raise RefusedError.of(type(self).__name__, faults)


def _blank_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


BLANK_IS_NONE = BeforeValidator(_blank_is_none)
"""Reads empty text as no value."""
