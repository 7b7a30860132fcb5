"""Every metric, span and attribute name, once.

Span and attribute names follow the OpenTelemetry conventions for generative AI, for database
clients and for HTTP servers (https://opentelemetry.io/docs/specs/semconv/); what they do not name
starts with ``agentinfra.``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "MetricSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """A metric: its name, kind, labels and what it says.

    Attributes:
        name: The name on the page, unit last.
        kind: ``counter``, ``gauge`` or ``histogram``.
        help: One sentence.
        labels: The label names, in order.
        buckets: A histogram's upper bounds.
        decimals: Digits behind the point that a counter adds up exactly; 0 adds floats.
        across: How a gauge adds up over several workers on one page.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    decimals: int = 0
    across: Literal["sum", "max", "min"] = "sum"


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_TOKENS = tuple(float(4**power) for power in range(14))  # as the conventions have them
_MILLISECONDS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 30000.0)


def _counter(name: str, text: str, *labels: str) -> MetricSpec:
    return MetricSpec(name=name, kind="counter", help=text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> MetricSpec:
    return MetricSpec(name=name, kind="gauge", help=text, labels=labels)


def _histogram(
    name: str, text: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
) -> MetricSpec:
    return MetricSpec(name=name, kind="histogram", help=text, labels=labels, buckets=buckets)


REQUESTS = _counter("requests_total", "Node runs of agents.", "agent", "node")
ROUTING_FALLBACKS = _counter(
    "routing_fallbacks_total",
    "Questions an agent handed to another.",
    "from_agent",
    "to_agent",
)
LLM_FAILURES = _counter(
    "llm_failures_total",
    "Model calls that ended in an error; component is chat, embeddings or structured.",
    "component",
)
NODE_LATENCY = _histogram(
    "node_latency_ms", "Milliseconds a node took.", "node", buckets=_MILLISECONDS
)
LLM_COST = MetricSpec(
    name="llm_cost_usd_total",
    kind="counter",
    help="US dollars spent on model calls.",
    labels=("model",),
    decimals=10,
)
LLM_TOKENS = _counter(
    "llm_tokens_total",
    "Tokens of model calls; type is prompt, completion, total, cached, cache_write or reasoning.",
    "model",
    "type",
)

LLM_CALLS = _counter(
    "llm_calls_total",
    "Model calls by outcome (ok, left, cancelled, or the error's class).",
    "model",
    "outcome",
)
LLM_LATENCY = _histogram(
    "llm_latency_seconds", "Seconds a model call took.", "model", "operation", "outcome"
)
LLM_CALL_TOKENS = _histogram(
    "llm_call_tokens",
    "Tokens of one model call; type is input or output.",
    "model",
    "operation",
    "type",
    buckets=_TOKENS,
)
LLM_FIRST_TOKEN = _histogram(
    "llm_time_to_first_token_seconds", "Seconds until a stream's first content.", "model"
)
LLM_ATTEMPTS = _counter(
    "llm_attempts_total", "Requests sent to model endpoints by outcome.", "model", "outcome"
)
LLM_WAIT = _histogram(
    "llm_wait_seconds", "Seconds a call waited before it was sent; reason says what for.", "reason"
)
LLM_IN_FLIGHT = _gauge("llm_in_flight", "Model calls under way.")
LLM_UNKNOWN_PRICES = _counter(
    "llm_unknown_prices_total", "Calls of models that have no known price.", "model"
)
LLM_BUDGET_REFUSALS = _counter(
    "llm_budget_refusals_total", "Calls refused before they were sent, by budget.", "budget"
)
LLM_BUDGET_SPENT = MetricSpec(
    name="llm_budget_spent_usd_total",
    kind="counter",
    help="US dollars that calls of this process spent of an account of rt.budgets.",
    labels=("budget", "per"),
    decimals=10,
)
LLM_BUDGET_REMAINING = MetricSpec(
    name="llm_budget_remaining_usd",
    kind="gauge",
    help="US dollars left of an account of rt.budgets, as far as this process knows.",
    labels=("budget", "per"),
    across="min",
)
LLM_BUDGET_WARNINGS = _counter(
    "llm_budget_warnings_total",
    "Times a share of an account of rt.budgets was found spent.",
    "budget",
    "per",
    "share",
)
LLM_BUDGET_ROUNDS = _histogram(
    "llm_budget_ledger_seconds", "Seconds a question to the ledger of budgets took.", "outcome"
)
LLM_DEGRADED_EMBEDDINGS = _counter(
    "llm_degraded_embeddings_total", "Texts embedded by the hash fallback."
)

DB_QUERIES = _histogram(
    "db_query_seconds", "Seconds a database operation took.", "operation", "outcome"
)
DB_POOL_SIZE = _gauge("db_pool_connections", "Open connections by pool and state.", "pool", "state")
DB_REFUSED = _counter(
    "db_refused_statements_total", "Statements the read-only guard refused.", "reason"
)
DOCUMENTS = _counter(
    "documents_total",
    "Documents a collection was brought up to date with; outcome is written, unchanged, removed or"
    " passed_over.",
    "outcome",
)

CACHE_OPERATIONS = _counter(
    "cache_operations_total",
    "Cache operations; outcome is hit, stale, miss, set, eviction, expiration, refused, coalesced,"
    " refresh_failed or error.",
    "cache",
    "outcome",
)
CACHE_ENTRIES = _gauge("cache_entries", "Entries held in memory.", "cache")
CACHE_SEMANTIC = _counter(
    "cache_semantic_lookups_total",
    "Lookups of a semantic cache; outcome is hit, unproven, guarded, alone, audited, false,"
    " unjudged, switched_off or error.",
    "cache",
    "outcome",
)
CACHE_SEMANTIC_FALSE = _gauge(
    "cache_semantic_false_hit_ratio",
    "Share of semantic hits that are false, by audits; bound is estimate, low or high.",
    "cache",
    "bound",
)

TOOL_SECONDS = _histogram(
    "tool_seconds", "Seconds a run of a graph's tool took.", "tool", "outcome"
)
CHECKPOINT_OPERATIONS = _histogram(
    "checkpoint_seconds", "Seconds a checkpoint operation took.", "operation", "outcome"
)
STORE_OPERATIONS = _histogram(
    "store_seconds", "Seconds an operation of the long-term store took.", "operation", "outcome"
)
STORE_SWEPT = _counter("store_swept_total", "Items of the long-term store dropped for age.")
CHECKPOINT_BYTES = _counter("checkpoint_bytes_total", "Bytes of checkpoints written.")
CHECKPOINTS_REFUSED = _counter(
    "checkpoints_refused_total", "Checkpoints of conversations deleted while a run was under way."
)
CHECKPOINTS_PRUNED = _counter("checkpoints_pruned_total", "Checkpoints dropped for age.")

RESOURCE_STATE = MetricSpec(
    name="resource_degraded",
    kind="gauge",
    help="1 while a resource is degraded or failed, else 0.",
    labels=("resource",),
    across="max",
)
CLOSE_FAILURES = _counter(
    "resource_close_failures_total",
    "Resources that could not be closed in order, or in time.",
    "resource",
)
LOOP_LAG = _histogram("event_loop_lag_seconds", "How late the event loop ran a tick.")
SPANS_DROPPED = _counter("spans_dropped_total", "Spans that were never exported.")
LOG_EVENTS_DROPPED = _counter("log_events_dropped_total", "Log events that could not be written.")
SERIES_DROPPED = _counter(
    "metric_series_overflow_total", "Observations folded into the series `other`.", "metric"
)

METRICS: tuple[MetricSpec, ...] = tuple(
    value for value in dict(globals()).values() if isinstance(value, MetricSpec)
)
"""Every metric there is; all of them are on the page from the start."""

# Spans
SPAN_NODE = "agent.node"
SPAN_CHECKPOINT = "checkpoint"
SPAN_STORE = "store"

# Attributes: generative AI
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
AGENT_NAME = "gen_ai.agent.name"
CONVERSATION_ID = "gen_ai.conversation.id"
EMBEDDING_DIMENSIONS = "gen_ai.embeddings.dimension.count"
DATA_SOURCE = "gen_ai.data_source.id"
REQUEST_TOP_K = "gen_ai.request.top_k"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"

# Values of gen_ai.operation.name, beside those of model calls
INVOKE_AGENT = "invoke_agent"
EXECUTE_TOOL = "execute_tool"
RETRIEVAL = "retrieval"

# Attributes: everything else
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
HTTP_METHOD = "http.request.method"
HTTP_METHOD_ORIGINAL = "http.request.method_original"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
URL_PATH = "url.path"
URL_SCHEME = "url.scheme"
ERROR_TYPE = "error.type"
EXCEPTION_EVENT = "exception"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"
SERVICE_NAME = "service.name"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - a name
DB_SYSTEM = "db.system.name"
DB_OPERATION = "db.operation.name"
DB_COLLECTION = "db.collection.name"
DB_ROWS = "db.response.returned_rows"
DB_STATUS = "db.response.status_code"
COST_USD = "agentinfra.cost_usd"
ATTEMPTS = "agentinfra.attempts"
WAIT = "agentinfra.wait_seconds"
DEGRADED = "agentinfra.degraded"
NODE = "agentinfra.node"
CACHE_HIT = "agentinfra.cache_hit"
API = "agentinfra.api"
OUTCOME = "agentinfra.outcome"
USAGE_ESTIMATED = "agentinfra.usage_estimated"
BUDGETS = "agentinfra.budgets"

# Events of a model call's span
EVENT_ATTEMPT_FAILED = "agentinfra.attempt_failed"
EVENT_RETRY = "agentinfra.retry"
EVENT_WAIT = "agentinfra.wait"
EVENT_FALLBACK = "agentinfra.fallback"
EVENT_HEDGE = "agentinfra.hedge"
EVENT_BUDGET_REFUSED = "agentinfra.budget_refused"
EVENT_OTHER_API = "agentinfra.other_api"
