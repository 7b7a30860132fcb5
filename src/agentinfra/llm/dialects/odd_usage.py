"""What servers say of a call's usage in words of their own, as far as it is billed."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec

__all__ = ["Count", "OddUsage"]

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000_000)]
"""A number of tokens; what cannot be one is read field by field."""


class OddUsage(msgspec.Struct, kw_only=True, gc=False):
    """Fields of a usage that OpenAI does not have; where one is there, all are read one by one."""

    cost: Any = None
    cost_details: Any = None
    is_byok: Any = None
    cost_in_usd_ticks: Any = None
    estimated_cost: Any = None
    cached_tokens: Any = None
    prompt_cache_hit_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cache_creation: Any = None
    reasoning_tokens: Any = None
    num_search_queries: Any = None
    server_tool_use: Any = None

    @property
    def is_odd(self) -> bool:
        """Whether any of them is there."""
        return (
            self.cost,
            self.cost_in_usd_ticks,
            self.estimated_cost,
            self.cached_tokens,
            self.prompt_cache_hit_tokens,
            self.cache_read_input_tokens,
            self.cache_creation_input_tokens,
            self.cache_creation,
            self.reasoning_tokens,
            self.num_search_queries,
            self.server_tool_use,
        ) != _NONE


_NONE = (None,) * 11
