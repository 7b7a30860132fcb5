"""What all groups of settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Group"]


class Group(BaseModel):
    """A group: frozen, strict about names, and silent about values in complaints."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
