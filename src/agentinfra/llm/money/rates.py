"""What a model's tokens cost by kind, and what a call can cost at most."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentinfra.results import Usage

__all__ = ["Parts", "Rates", "parts_of"]

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The tokens of a usage, each counted once: what is left of a sum is plain text.

    Attributes:
        text: Of the prompt: none of the others.
        cached: Read from the cache.
        written: Written to it.
        written_1h: Written to it for an hour.
        audio: Sound.
        audio_cached: Sound read from the cache.
        image: Pictures.
        answer: Of the completion: none of the others.
        thought: Reasoning.
        spoken: Sound.
        drawn: Pictures.
    """

    text: int
    cached: int
    written: int
    written_1h: int
    audio: int
    audio_cached: int
    image: int
    answer: int
    thought: int
    spoken: int
    drawn: int

    @property
    def prompt(self) -> int:
        """Tokens of the prompt."""
        stored = self.cached + self.written + self.written_1h
        return self.text + stored + self.audio + self.audio_cached + self.image

    @property
    def completion(self) -> int:
        """Tokens of the completion."""
        return self.answer + self.thought + self.spoken + self.drawn


def parts_of(usage: Usage) -> Parts:
    """Return a usage's tokens by kind, each in one kind alone.

    A server counts sound and pictures by what they are and cached tokens by where they came from:
    the same token may be in both. What is more than the prompt was counted twice so.
    """
    prompt = usage.prompt_tokens
    cached = min(usage.cached_tokens, prompt)
    written = min(usage.cache_write_tokens, prompt - cached)
    hour = min(usage.cache_write_1h_tokens, written)
    room = prompt - cached - written
    audio, image = min(usage.audio_prompt_tokens, prompt), min(usage.image_prompt_tokens, prompt)
    audio_cached = min(max(0, audio - room), cached)
    audio = min(audio - audio_cached, room)
    image = min(image, room - audio)
    completion = usage.completion_tokens
    thought = min(usage.reasoning_tokens, completion)
    spoken = min(usage.audio_completion_tokens, completion - thought)
    drawn = min(usage.image_completion_tokens, completion - thought - spoken)
    return Parts(
        text=room - audio - image,
        cached=cached - audio_cached,
        written=written - hour,
        written_1h=hour,
        audio=audio,
        audio_cached=audio_cached,
        image=image,
        answer=completion - thought - spoken - drawn,
        thought=thought,
        spoken=spoken,
        drawn=drawn,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """A model's prices in USD per token, and what it can take and give.

    Attributes:
        input: A prompt token.
        output: A completion token.
        cached: A prompt token read from the provider's cache.
        written: A prompt token written to it, which some bill dearer than one that is not.
        written_1h: One that is kept there for an hour.
        audio_input: An audio token of the prompt.
        audio_cached: One that was read from the cache.
        audio_output: An audio token of the completion.
        image_input: A picture's token of the prompt.
        image_output: A picture's token of the completion.
        thought: A token of reasoning.
        web_search: A search of the web.
        file_search: A search of stored files.
        request: What a request costs besides.
        window: Tokens its context holds; None where nobody knows.
        largest: Tokens its answer has at most.
        longer: The prices of long prompts, each with the length above which the whole call has
            them; shortest first.
        later: What it costs at another time of this day, where that differs.
        changes: Whether its prices change by the hour or have changed with time.
    """

    input: Decimal
    output: Decimal
    cached: Decimal
    written: Decimal
    written_1h: Decimal
    audio_input: Decimal
    audio_cached: Decimal
    audio_output: Decimal
    image_input: Decimal
    image_output: Decimal
    thought: Decimal
    web_search: Decimal = _ZERO
    file_search: Decimal = _ZERO
    request: Decimal = _ZERO
    window: int | None = None
    largest: int = 0
    longer: tuple[tuple[int, Rates], ...] = ()
    later: tuple[Rates, ...] = ()
    changes: bool = False

    def cost(self, usage: Usage) -> Decimal:
        """Return what these tokens cost in USD, each kind at its own price."""
        if self.longer:
            for start, rates in reversed(self.longer):
                if usage.prompt_tokens > start:
                    return rates.cost(usage)
        if not (
            usage.cached_tokens
            or usage.cache_write_tokens
            or usage.reasoning_tokens
            or usage.audio_prompt_tokens
            or usage.audio_completion_tokens
            or usage.image_prompt_tokens
            or usage.image_completion_tokens
            or usage.web_searches
            or usage.file_searches
            or self.request
        ):
            return self.input * usage.prompt_tokens + self.output * usage.completion_tokens
        parts = parts_of(usage)
        return (
            self.input * parts.text
            + self.cached * parts.cached
            + self.written * parts.written
            + self.written_1h * parts.written_1h
            + self.audio_input * parts.audio
            + self.audio_cached * parts.audio_cached
            + self.image_input * parts.image
            + self.output * parts.answer
            + self.thought * parts.thought
            + self.audio_output * parts.spoken
            + self.image_output * parts.drawn
            + self.web_search * usage.web_searches
            + self.file_search * usage.file_searches
            + self.request
        )
