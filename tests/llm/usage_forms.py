"""How servers report the tokens of an answer: the same truth in the words of each."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The tokens of an answer by kind, each counted once."""

    text: int = 0
    cached: int = 0
    written: int = 0
    written_1h: int = 0
    audio: int = 0
    image: int = 0
    answer: int = 0
    thought: int = 0
    spoken: int = 0
    drawn: int = 0

    @property
    def prompt(self):
        return self.text + self.stored + self.audio + self.image

    @property
    def stored(self):
        return self.cached + self.written + self.written_1h

    @property
    def completion(self):
        return self.answer + self.thought + self.spoken + self.drawn

    @property
    def total(self):
        return self.prompt + self.completion


KINDS = {field.name for field in fields(Truth)}


def openai_chat(truth):
    return {
        "prompt_tokens": truth.prompt,
        "completion_tokens": truth.completion,
        "total_tokens": truth.total,
        "prompt_tokens_details": {
            "cached_tokens": truth.cached,
            "cache_write_tokens": truth.written,
            "audio_tokens": truth.audio,
            "image_tokens": truth.image,
        },
        "completion_tokens_details": {
            "reasoning_tokens": truth.thought,
            "audio_tokens": truth.spoken,
            "image_tokens": truth.drawn,
            "accepted_prediction_tokens": 0,
        },
    }


def responses(truth):
    return {
        "input_tokens": truth.prompt,
        "output_tokens": truth.completion,
        "total_tokens": truth.total,
        "input_tokens_details": {
            "cached_tokens": truth.cached,
            "cache_write_tokens": truth.written,
        },
        "output_tokens_details": {"reasoning_tokens": truth.thought},
    }


def without_details(truth):
    return {
        "prompt_tokens": truth.prompt,
        "completion_tokens": truth.completion,
        "total_tokens": truth.total,
        "prompt_tokens_details": None,
    }


def xai(truth):
    told = openai_chat(truth)
    return {**told, "completion_tokens": truth.completion - truth.thought}


def gemini(truth):
    return {
        "prompt_tokens": truth.prompt,
        "completion_tokens": truth.answer,
        "total_tokens": truth.total,
    }


def deepseek(truth):
    return {
        **without_details(truth),
        "prompt_cache_hit_tokens": truth.cached,
        "prompt_cache_miss_tokens": truth.text,
        "completion_tokens_details": {"reasoning_tokens": truth.thought},
    }


def kimi(truth):
    return {**without_details(truth), "cached_tokens": truth.cached}


def anthropic(truth):
    return {
        "input_tokens": truth.text,
        "output_tokens": truth.answer,
        "cache_read_input_tokens": truth.cached,
        "cache_creation_input_tokens": truth.written + truth.written_1h,
        "cache_creation": {
            "ephemeral_5m_input_tokens": truth.written,
            "ephemeral_1h_input_tokens": truth.written_1h,
        },
    }


def litellm(truth):
    """Return Anthropic's counts as LiteLLM's proxy has them: inside, by both names."""
    return {
        **without_details(truth),
        "prompt_tokens_details": {"cached_tokens": truth.cached},
        "cache_read_input_tokens": truth.cached,
        "cache_creation_input_tokens": truth.written + truth.written_1h,
        "cache_creation": {"ephemeral_1h_input_tokens": truth.written_1h},
    }


def anthropic_with_a_total(truth):
    """Return a proxy's translation that leaves the cache beside the prompt."""
    told = {**anthropic(truth), "total_tokens": truth.total}
    told["prompt_tokens"] = told.pop("input_tokens")
    told["completion_tokens"] = told.pop("output_tokens")
    return told


PROMPT, CACHE = {"text", "answer"}, {"cached", "written"}

FORMS = {
    # The function, the API it is an answer of, and the kinds it tells apart.
    openai_chat: ("chat", KINDS - {"written_1h"}),
    without_details: ("chat", PROMPT),
    xai: ("chat", PROMPT | {"cached", "thought", "audio", "image"}),
    gemini: ("chat", PROMPT | {"thought"}),
    deepseek: ("chat", PROMPT | {"cached", "thought"}),
    kimi: ("chat", PROMPT | {"cached"}),
    litellm: ("chat", PROMPT | CACHE | {"written_1h"}),
    anthropic_with_a_total: ("chat", PROMPT | CACHE | {"written_1h"}),
    anthropic: ("responses", PROMPT | CACHE | {"written_1h"}),
    responses: ("responses", PROMPT | CACHE | {"thought"}),
}
