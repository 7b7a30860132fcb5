"""The routing and the response cache asked by meaning."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace

import numpy as np
import pytest

from agentinfra.cache import Caches, ResponseCache, RoutingCache
from agentinfra.cache.semantic import SemanticResponses, SemanticRouting
from agentinfra.errors import CacheError, ConfigurationError
from agentinfra.observability.metrics import Metrics
from agentinfra.settings import CacheSettings

pytestmark = pytest.mark.usefixtures("no_tasks_left")

TOPICS = ["refunds", "orders", "returns", "invoices", "delivery", "warranty", "accounts", "opening"]


class Directions:
    """Gives each topic a direction of its own; what begins alike points almost the same way."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None
        self.degraded: str | None = None
        self.model = "directions"

    async def get_embeddings(self, texts, *, model=None, dimensions=None):
        self.calls += 1
        if self.error is not None:
            raise self.error
        vectors = np.stack([self.vector(text) for text in texts])
        return SimpleNamespace(vectors=vectors, model=self.model, degraded=self.degraded)

    def vector(self, text):
        topic = TOPICS.index(text.split()[0])
        vector = np.random.default_rng(sum(map(ord, text))).normal(size=32) * 0.02
        vector[topic] += 1
        return (vector / np.linalg.norm(vector)).astype("f4")


def routing(embedder=None, **options):
    cache = RoutingCache(max_size=10_000)
    options = {"chance": lambda: 1.0} | options
    return SemanticRouting(cache, embedder or Directions(), **options), cache


async def teach(semantic, number=450, answer=lambda topic: f"agent {topic}"):
    """Ask so many questions of all topics, in words that differ."""
    for at in range(number):

        async def load(topic=at % 8):
            return answer(topic)

        await semantic.get_or_compute(f"{TOPICS[at % 8]} {word(at)}", load)


def word(number):
    return "".join("wcdfjyqvxz"[int(digit)] for digit in str(number))  # no word of any language


async def never():
    raise AssertionError("nothing was to be loaded")


async def test_a_question_of_the_same_meaning_is_given_the_answer_and_says_so():
    """After some hundred labels; the result names the question, the similarity and the source."""
    semantic, cache = routing()
    await teach(semantic)
    answer = await semantic.get_or_compute("invoices unheard", never)
    assert (answer.value, answer.source) == ("agent 3", "semantic")
    assert answer.hit.question.startswith("invoices ")
    assert 0.9 < answer.hit.similarity <= 1.0
    assert await cache.get("invoices unheard") is None  # it is not its own answer
    again = await semantic.get_or_compute(answer.hit.question, never)
    assert (again.source, again.hit) == ("exact", None)


async def test_nothing_is_given_before_enough_was_seen():
    """With 290 labels every question is loaded, however similar."""
    semantic, _ = routing()
    await teach(semantic, 290)
    loads = []

    async def load():
        loads.append(1)
        return "agent 3"

    answer = await semantic.get_or_compute("invoices unheard", load)
    assert (answer.source, loads) == ("computed", [1])
    assert semantic.counts["hit"] == 0


async def test_answers_that_do_not_follow_from_the_meaning_are_never_given():
    """Where neighbours decide differently no band opens."""
    chance = random.Random(3)
    semantic, _ = routing()
    await teach(semantic, 600, lambda topic: f"agent {chance.randrange(4)}")
    assert semantic.counts["hit"] == 0


@pytest.mark.parametrize("more", ["5", "not", '"x"', "in Paris"])
async def test_the_guard_comes_before_any_similarity(more):
    """A number, a denial, a quotation or a name that the known question lacks is a miss."""
    semantic, _ = routing()
    await teach(semantic)

    async def load():
        return "other"

    answer = await semantic.get_or_compute(f"invoices unheard {more}", load)
    assert (answer.value, answer.source, semantic.counts["guarded"]) == ("other", "computed", 1)


async def test_what_the_exact_cache_has_no_more_is_not_given():
    """Deleted, expired or cleared: the semantic cache holds no answers of its own."""
    semantic, cache = routing()
    await teach(semantic)
    await cache.clear()

    async def load():
        return "new"

    answer = await semantic.get_or_compute("invoices unheard", load)
    assert (answer.value, answer.source) == ("new", "computed")


async def test_a_share_of_the_hits_is_loaded_all_the_same():
    """An audit gives the loaded answer, counts whether the other was right, and labels it."""
    metrics = Metrics()
    async with metrics:
        drawn = [1.0]
        semantic, _ = routing(audit_share=0.5, metrics=metrics, chance=lambda: drawn[-1])
        await teach(semantic)
        drawn.append(0.4)

        async def load():
            return "agent 3"

        answer = await semantic.get_or_compute("invoices unheard", load)
        assert answer.source == "computed"

        async def other():
            return "agent 9"

        await semantic.get_or_compute("delivery unheard", other)
        assert (semantic.audits.audited, semantic.audits.false) == (2, 1)
        page = metrics.expose()
        assert 'cache_semantic_false_hit_ratio{cache="routing",bound="estimate"} 0.5' in page
        assert 'outcome="audited"} 2' in page


async def test_false_audits_switch_it_off_and_health_says_so():
    """What has become wrong is found by audits: the partition gives nothing until it has learnt."""
    settings = CacheSettings(semantic=True, routing_size=5_000, audit_share=0.999)
    async with Caches(settings) as caches:
        caches.embed_with(Directions())
        semantic = caches.semantic_routing
        await teach(semantic, 100)
        (evidence,) = semantic._tier._evidence.values()
        for at in range(2_000):  # of which most were hits that nobody labelled again
            evidence.learn(1.0, f"long ago {at}", right=True)
        assert (await caches.probe()).state == "ready"

        async def other():
            return "changed"

        for topic in TOPICS:
            await semantic.get_or_compute(f"{topic} unheard", other)
        health = await caches.probe()
        assert health.state == "degraded"
        assert "1 partition of semantic routing switched off: 2 of 2" in health.reason
        assert "2 audited" in health.detail
        assert semantic.counts["switched_off"] == 1


async def test_switched_off_it_is_the_exact_cache():
    """By default no question is turned into a vector."""
    async with Caches(CacheSettings()) as caches:
        embedder = Directions()
        caches.embed_with(embedder)
        await teach(caches.semantic_routing, 20)
        again = await caches.semantic_routing.get_or_compute(f"invoices {word(3)}", never)
        assert (again.source, embedder.calls) == ("exact", 0)


@pytest.mark.parametrize(
    "broken",
    [{"error": RuntimeError("no")}, {"error": CacheError("no")}, {"degraded": "a hash"}],
)
async def test_without_vectors_the_loader_runs(broken):
    """A failing or degraded embedder is counted, and raised to nobody."""
    embedder = Directions()
    semantic, cache = routing(embedder)
    for name, value in broken.items():
        setattr(embedder, name, value)

    async def load():
        return 1

    answer = await semantic.get_or_compute("orders a", load)
    assert (answer.value, answer.source, semantic.counts["error"]) == (1, "computed", 1)
    assert await cache.get("orders a") == 1
    assert semantic.trouble.startswith("semantic routing: ")
    embedder.error = embedder.degraded = None
    await semantic.get_or_compute("orders b", load)
    assert semantic.trouble == ""


async def test_a_loader_that_is_none_is_refused():
    """As by the exact cache, and nothing is kept of the question."""
    semantic, cache = routing()
    with pytest.raises(CacheError, match="the loader is 'orders'"):
        await semantic.get_or_compute("orders a", "orders")
    assert await cache.get("orders a") is None


async def test_a_store_that_fails_is_a_miss():
    """Whatever a store of the user's raises, the answer comes from the loader."""

    class Broken:
        async def nearest(self, partition, vector, limit):
            raise OSError("away")

        add = drop = nearest

    semantic, _ = routing(store=Broken())

    async def load():
        return 1

    assert (await semantic.get_or_compute("orders a", load)).value == 1
    assert semantic.counts["error"] == 1


async def test_another_embedding_model_is_another_partition():
    """What one model's vectors have taught says nothing about another's."""
    embedder = Directions()
    semantic, _ = routing(embedder)
    await teach(semantic)
    embedder.model = "another"

    async def load():
        return "agent 3"

    assert (await semantic.get_or_compute("invoices unheard", load)).source == "computed"


async def test_what_has_to_be_equal_can_be_said():
    """Decisions that differ in what does not matter are the same."""
    numbers = iter(range(10_000))
    semantic, _ = routing(same=lambda decision: decision["agent"])
    await teach(semantic, answer=lambda topic: {"agent": topic, "took": next(numbers)})
    answer = await semantic.get_or_compute("invoices unheard", never)
    assert (answer.value["agent"], answer.source) == (3, "semantic")


async def test_values_that_cannot_be_compared_are_kept_exactly_only():
    """An object without a canonical form is nobody else's answer."""
    semantic, _ = routing()

    async def load():
        return object()

    assert (await semantic.get_or_compute("orders a", load)).source == "computed"
    assert semantic.counts["unjudged"] == 1


async def test_callers_of_one_question_share_a_load_and_a_label():
    """A hundred at once cause one load."""
    semantic, _ = routing()
    loads = []

    async def load():
        loads.append(1)
        await asyncio.sleep(0)
        return "x"

    answers = await asyncio.gather(*(semantic.get_or_compute("orders a", load) for _ in range(100)))
    assert ({answer.value for answer in answers}, len(loads)) == ({"x"}, 1)


@pytest.mark.parametrize("name", ["max_false_hit", "confidence", "audit_share"])
def test_shares_that_make_no_sense_are_refused(name):
    """The message names the option."""
    with pytest.raises(ConfigurationError, match=name):
        routing(**{name: 1.0})


def responses(judge=None, **options):
    options = {"chance": lambda: 1.0} | options
    cache = ResponseCache(max_size=10_000)
    return SemanticResponses(cache, Directions(), judge=judge, **options), cache


async def ask_all(semantic, number=450, **more):
    for at in range(number):

        async def load(at=at):
            return f"answer {at % 8} in words of its own {at}"

        await semantic.get_or_compute(f"{TOPICS[at % 8]} {word(at)}", "agent", load, **more)
        await semantic.settled()


@pytest.mark.parametrize(
    "other",
    [{"agent": "b"}, {"context": {"plan": "free"}}, {"model": "m2"}, {"parameters": {"seed": 1}}],
)
async def test_questions_of_another_partition_are_not_even_looked_at(other):
    """What was asked of another agent, context, model or with others is nobody's neighbour."""
    semantic, _ = responses(topics_alike)
    asked = {"agent": "a", "context": None, "model": "m", "parameters": None}

    async def load():
        return "answer"

    async with semantic:
        await semantic.get_or_compute("orders first", loader=load, **asked)
        await semantic.get_or_compute("orders second", loader=load, **(asked | other))
        await semantic.settled()
        assert (semantic.counts["alone"], semantic.counts["unproven"]) == (2, 0)
        await semantic.get_or_compute("orders third", loader=load, **asked)
        await semantic.settled()
        assert (semantic.counts["alone"], semantic.counts["unproven"]) == (2, 1)


async def topics_alike(pair):
    return pair.question.split()[0] == pair.known_question.split()[0]


async def test_texts_are_given_where_a_judge_says_that_they_would_do():
    """Texts are never equal: the judge's labels count."""
    async with responses(topics_alike)[0] as semantic:
        await ask_all(semantic)
        answer = await semantic.get_or_compute("invoices unheard", "agent", never)
        assert (answer.source, answer.value[:8]) == ("semantic", "answer 3")


@pytest.mark.parametrize(
    "other",
    [
        {"agent": "another"},
        {"context": {"user": 2}},
        {"model": "m2"},
        {"parameters": {"temperature": 1}},
    ],
)
async def test_nothing_is_given_across_agents_contexts_models_and_parameters(other):
    """Each is a partition of its own, by meaning and by the letter."""
    async with responses(topics_alike)[0] as semantic:
        await ask_all(semantic)

        async def load():
            return "own"

        asked = {"query": f"invoices {word(3)}", "agent": "agent", "loader": load} | other
        answer = await semantic.get_or_compute(**asked)
        assert (answer.value, answer.source) == ("own", "computed")


async def test_without_a_judge_no_text_is_given():
    """Nothing says which texts are right."""
    async with responses()[0] as semantic:
        await ask_all(semantic)
        assert semantic.counts["hit"] == 0
        assert semantic.counts["unjudged"] == 449


async def test_a_judge_is_asked_within_its_budget(clock):
    """A fifth of an hour's judgements is kept for audits; the next hour has its own."""
    asked = []

    async def judge(pair):
        asked.append(pair)
        return True

    semantic, _ = responses(judge, judgements_per_hour=100, clock=clock)
    async with semantic:
        await ask_all(semantic, 200)
        assert len(asked) == 80
        await clock.advance(3600)
        await ask_all(semantic, 210)
        assert len(asked) == 90


async def test_a_failing_judge_labels_nothing():
    """It is counted, and the answer was given before."""

    async def judge(pair):
        raise ValueError("no")

    async with responses(judge)[0] as semantic:
        await ask_all(semantic, 3)
        assert semantic.counts["unjudged"] == 2


async def test_leaving_ends_judgements_under_way():
    """No caller waits for a judge, and no task stays."""
    asked = asyncio.Event()

    async def judge(pair):
        asked.set()
        await asyncio.Event().wait()

    semantic, _ = responses(judge)

    async def load():
        return "x"

    async with semantic:
        await semantic.get_or_compute("orders a", "agent", load)
        await semantic.get_or_compute("orders b", "agent", load)
        await asked.wait()
