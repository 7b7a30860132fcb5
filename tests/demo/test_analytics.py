"""Questions about sales: what comes back is what plain Python computes from the same rows."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import pytest

from agentinfra.demo.sales.data import Sales

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Books:
    """The shop's books in plain Python, without any SQL."""

    def __init__(self, sales: Sales) -> None:
        self.sales = sales
        self.customers = {customer.id: customer for customer in sales.customers}
        self.products = {product.id: product for product in sales.products}
        self.orders = {order.id: order for order in sales.orders}

    def revenue(self, key: Callable | None = None, year: int | None = None):
        """What was not cancelled, in all or by a key of (item, order)."""
        totals: Counter = Counter()
        for item in self.sales.order_items:
            order = self.orders[item.order_id]
            if order.status != "cancelled" and year in (None, order.ordered_on.year):
                totals[key(item, order) if key else None] += item.quantity * item.unit_price
        return (
            {name: float(total) for name, total in totals.items()} if key else float(totals[None])
        )

    def category(self, item, order) -> str:
        return self.products[item.product_id].category

    def country(self, item, order) -> str:
        return self.customers[order.customer_id].country

    def orders_where(self, holds: Callable) -> int:
        return sum(1 for order in self.sales.orders if holds(order))


def best(totals: dict) -> tuple:
    return max(totals.items(), key=lambda pair: pair[1])


def average_order(books: Books) -> float:
    kept = books.orders_where(lambda order: order.status != "cancelled")
    return float(round(Decimal(str(books.revenue())) / kept, 2))


def by_month(books: Books, year: int) -> dict[str, float]:
    return books.revenue(lambda item, order: order.ordered_on.replace(day=1).isoformat(), year)


FIGURES = {
    "How many orders were placed in total?": lambda b: len(b.sales.orders),
    "How many orders were placed in 2025?": lambda b: b.orders_where(
        lambda order: order.ordered_on.year == 2025
    ),
    "How many customers are there in Germany?": lambda b: sum(
        customer.country == "Germany" for customer in b.sales.customers
    ),
    "How many orders were cancelled?": lambda b: b.orders_where(
        lambda order: order.status == "cancelled"
    ),
    "How many orders came through the mobile channel in 2025?": lambda b: b.orders_where(
        lambda order: order.channel == "mobile" and order.ordered_on.year == 2025
    ),
    "How many business customers signed up in 2024?": lambda b: sum(
        customer.segment == "business" and customer.signed_up.year == 2024
        for customer in b.sales.customers
    ),
    "How many orders did customers from Japan place?": lambda b: b.orders_where(
        lambda order: b.customers[order.customer_id].country == "Japan"
    ),
    "How many products cost more than 200?": lambda b: sum(
        product.price > 200 for product in b.sales.products
    ),
    "How many units of the Beam 350 Headlamp were sold?": lambda b: sum(
        item.quantity
        for item in b.sales.order_items
        if b.products[item.product_id].name == "Beam 350 Headlamp"
    ),
    "What was the total revenue in 2025?": lambda b: b.revenue(year=2025),
    "What is the average order value?": average_order,
}
"""Questions that one number answers, and that number."""

TABLES = {
    "What was the revenue by category?": (
        "category",
        "revenue",
        lambda b: b.revenue(b.category),
    ),
    "What was the revenue by country in 2025?": (
        "country",
        "revenue",
        lambda b: b.revenue(b.country, 2025),
    ),
    "Show the revenue by month in 2025": ("month", "revenue", lambda b: by_month(b, 2025)),
    "Which product category brought in the most revenue in 2024?": (
        "category",
        "revenue",
        lambda b: dict([best(b.revenue(b.category, 2024))]),
    ),
    "Which country has the most customers?": (
        "country",
        "customer_count",
        lambda b: dict(Counter(c.country for c in b.sales.customers).most_common(1)),
    ),
}
"""Questions that some rows answer: the column of the names, of the figures, and what they are."""


KEYS = [
    *("question", "agent", "answer", "sources", "sql", "rows", "usage", "cost_usd", "cache"),
    *("degraded", "trace_id", "thread_id", "latency"),
]
"""What ``--json`` prints of an answer, in its order."""


@pytest.fixture(scope="module")
def books(sales) -> Books:
    return Books(sales)


@pytest.mark.parametrize("question", FIGURES)
async def test_a_figure_is_right(team, books, question):
    """One row with the figure comes back, and the answer says it."""
    expected = FIGURES[question](books)
    answer = await team.ask(question, thread_id=question)
    [row] = answer.rows
    assert answer.agent == "analytics"
    assert list(row.values()) == [expected]
    assert f"{expected:.15g}" in answer.answer
    assert answer.degraded is None


@pytest.mark.parametrize("question", TABLES)
async def test_a_table_is_right(team, books, question):
    """The rows hold each name once, with its figure."""
    name, figure, compute = TABLES[question]
    answer = await team.ask(question, thread_id=question)
    found = {row[name]: row[figure] for row in answer.rows}
    assert answer.agent == "analytics"
    assert found == pytest.approx(compute(books))
    assert len(found) == len(answer.rows)


async def test_a_follow_up_builds_on_the_conversation(team, books):
    """A question that says only what is different takes the rest from the one before it."""
    await team.ask("How many orders were placed in 2025?", thread_id="follow-up")
    answer = await team.ask("And in 2024?", thread_id="follow-up")
    expected = books.orders_where(lambda order: order.ordered_on.year == 2024)
    assert [list(row.values()) for row in answer.rows] == [[expected]]


async def test_the_answer_tells_what_it_took(team, rt):
    """Statement, tokens, cost, trace and conversation come with the answer."""
    answer = await team.ask("How many schools are customers?", thread_id="told")
    row = answer.as_json()
    assert list(row) == KEYS
    assert row["sql"].startswith("SELECT")
    assert row["usage"]["total_tokens"] > 0
    assert row["cost_usd"] > 0
    assert row["thread_id"] == "told"
    assert len(row["trace_id"]) == 32
    page = rt.metrics.expose()
    assert 'requests_total{agent="analytics",node="plan"}' in page
    assert 'node_latency_ms_count{node="query"}' in page
