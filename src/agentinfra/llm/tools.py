"""Tools without a call: what is made of a function or a type before a model is offered it.

``tool_of(search).definition`` is OpenAI's definition, in its strict form where there is one;
``tool_of(search).parameters`` the JSON Schema of its arguments.
"""

from __future__ import annotations

from agentinfra.llm.structured.tools import Tool, tool_of

__all__ = ["Tool", "tool_of"]
