"""The shop's data: the same everywhere, consistent, and readable only."""

import hashlib
from datetime import date
from decimal import Decimal

import pytest

from agentinfra.demo.sales import SalesDatabase, scoped, to_json
from agentinfra.demo.sales.data import make_sales
from agentinfra.demo.sales.names import CATALOG, CHANNELS, CITIES, SEGMENTS, STATUSES
from agentinfra.errors import QueryError, ReadOnlyViolationError

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_rows_never_change(sales):
    """Every machine and every Python makes the same rows."""
    text = repr([(name, rows) for name, rows in sales.tables()])
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "08a9f00418888ae9"
    assert make_sales() == sales


async def test_every_reference_is_met(sales):
    """Items refer to orders and products there are, orders to customers who had signed up."""
    customers = {customer.id: customer for customer in sales.customers}
    orders = {order.id: order for order in sales.orders}
    products = {product.id: product for product in sales.products}
    for order in sales.orders:
        assert customers[order.customer_id].signed_up <= order.ordered_on
    for item in sales.order_items:
        assert item.unit_price <= products[item.product_id].price
        assert orders[item.order_id]
        assert item.quantity >= 1
    assert {item.order_id for item in sales.order_items} == set(orders)


async def test_values_are_those_the_model_is_told_of(sales):
    """Columns hold the values that the description of the tables lists, and all of them."""
    assert {customer.country for customer in sales.customers} == set(CITIES)
    assert all(customer.city in CITIES[customer.country] for customer in sales.customers)
    assert {customer.segment for customer in sales.customers} == {name for name, _ in SEGMENTS}
    assert {order.status for order in sales.orders} == {name for name, _ in STATUSES}
    assert {order.channel for order in sales.orders} == {name for name, _ in CHANNELS}
    assert {product.category for product in sales.products} == set(CATALOG)
    assert {order.ordered_on.year for order in sales.orders} == {2024, 2025}


async def test_the_database_holds_the_rows(rt, team, sales):
    """What the tables hold is what was made, and a second preparation adds nothing."""
    database = SalesDatabase(rt.db)
    await database.prepare()
    for name, rows in sales.tables():
        counted = await database.read(f"SELECT count(*) AS n FROM {name}")
        assert counted[0]["n"] == len(rows)
    paid = await database.read("SELECT sum(quantity * unit_price) AS paid FROM order_items;")
    assert paid[0]["paid"] == float(sum(i.quantity * i.unit_price for i in sales.order_items))


async def test_names_without_schema_are_the_shops(rt, team):
    """A statement's own WITH goes before the shop's tables, a schema before both."""
    database = SalesDatabase(rt.db)
    own = await database.read("WITH orders AS (SELECT 7 AS id) SELECT id FROM orders -- all")
    named = await database.read("SELECT count(*) AS n FROM demo_sales.orders ORDER BY 1")
    assert own[0]["id"] == 7
    assert named[0]["n"] == 1800


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders",
        "SELECT 1) AS a; DELETE FROM demo_sales.orders; SELECT * FROM (SELECT 1",
        "WITH gone AS (DELETE FROM demo_sales.orders RETURNING *) SELECT * FROM gone",
        "SELECT pg_sleep(60)",
        "SELECT nothing FROM orders",
    ],
)
async def test_only_reads_are_run(rt, team, sql):
    """What is no plain read of what there is raises, and changes nothing."""
    database = SalesDatabase(rt.db)
    with pytest.raises((ReadOnlyViolationError, QueryError)):
        await database.read(sql)
    assert (await database.read("SELECT count(*) AS n FROM orders"))[0]["n"] == 1800


async def test_values_become_json():
    """Whole numbers stay whole, amounts become floats, days become text."""
    assert scoped("SELECT 1;").endswith("(\nSELECT 1\n) AS answer")
    values = [Decimal("12.50"), Decimal(3), Decimal("NaN"), float("inf"), date(2025, 1, 2), None]
    assert to_json(values) == [12.5, 3, "NaN", "inf", "2025-01-02", None]
