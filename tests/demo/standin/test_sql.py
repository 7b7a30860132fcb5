"""The SELECT statements that questions over a sales schema get."""

from __future__ import annotations

import json

import postgast
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentinfra.demo.standin import stand_in
from agentinfra.demo.standin.sql import plan_sql, speaks_of_schema
from agentinfra.demo.standin.sql.ddl import read_catalog
from agentinfra.testing.answers.words import word_set

SALES = """
CREATE TABLE customers (
    id integer PRIMARY KEY,
    name text NOT NULL,
    country text NOT NULL, -- values 'Germany', 'France', 'United States', 'Spain'
    segment text NOT NULL  -- values 'consumer', 'enterprise', 'small business'
);
CREATE TABLE products (
    id integer PRIMARY KEY,
    name text NOT NULL,
    category text NOT NULL CHECK (category IN ('Books', 'Electronics', 'Garden')),
    price numeric(10, 2) NOT NULL
);
CREATE TABLE orders (
    id integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers (id),
    ordered_at timestamptz NOT NULL,
    status text NOT NULL
);
-- status: values 'paid', 'refunded', 'cancelled'
CREATE TABLE order_items (
    order_id integer NOT NULL REFERENCES orders (id),
    product_id integer NOT NULL REFERENCES products (id),
    quantity integer NOT NULL, -- synonyms units, sold
    unit_price numeric(10, 2) NOT NULL
    -- revenue: sum(quantity * unit_price)
);
-- measure average order value = sum(i.quantity * i.unit_price) / count(DISTINCT o.id) from order_items i join orders o on o.id = i.order_id where o.status = 'paid'
-- revenue: synonyms sales, turnover
-- customers: synonyms clients, buyers
"""  # noqa: E501 - a comment is one line

REVENUE = "sum(order_items.quantity * order_items.unit_price) AS revenue"
TO_ORDERS = "FROM order_items JOIN orders ON order_items.order_id = orders.id"
TO_CUSTOMERS = f"{TO_ORDERS} JOIN customers ON orders.customer_id = customers.id"
TO_PRODUCTS = "FROM order_items JOIN products ON order_items.product_id = products.id"
MONTH = "date_trunc('month', orders.ordered_at)::date"


def within(start, end):
    """Return the condition of a span of time on the orders' date."""
    return f"orders.ordered_at >= DATE '{start}' AND orders.ordered_at < DATE '{end}'"


QUESTIONS = {
    "How many orders were placed in total?": "SELECT count(*) AS order_count FROM orders",
    "How many customers do we have?": "SELECT count(*) AS customer_count FROM customers",
    "number of clients": "SELECT count(*) AS customer_count FROM customers",
    "How many orders were refunded?": (
        "SELECT count(*) AS order_count FROM orders WHERE orders.status = 'refunded'"
    ),
    "How many orders were not cancelled?": (
        "SELECT count(*) AS order_count FROM orders WHERE orders.status <> 'cancelled'"
    ),
    "How many enterprise customers are in Germany?": (
        "SELECT count(*) AS customer_count FROM customers "
        "WHERE customers.segment = 'enterprise' AND customers.country = 'Germany'"
    ),
    "How many customers in France or Spain?": (
        "SELECT count(*) AS customer_count FROM customers "
        "WHERE customers.country IN ('France', 'Spain')"
    ),
    "How many paid orders are there in 2025?": (
        "SELECT count(*) AS order_count FROM orders WHERE orders.status = 'paid' AND "
        + within("2025-01-01", "2026-01-01")
    ),
    "What is the total revenue?": f"SELECT {REVENUE} FROM order_items",
    "What was our turnover in March 2025?": (
        f"SELECT {REVENUE} {TO_ORDERS} WHERE " + within("2025-03-01", "2025-04-01")
    ),
    "How much did enterprise customers spend?": (
        f"SELECT {REVENUE} {TO_CUSTOMERS} WHERE customers.segment = 'enterprise'"
    ),
    'What is the revenue for customer "Acme Ltd"?': (
        f"SELECT {REVENUE} {TO_CUSTOMERS} WHERE customers.name = 'Acme Ltd'"
    ),
    "Revenue by country": (
        f"SELECT customers.country, {REVENUE} {TO_CUSTOMERS} "
        "GROUP BY customers.country ORDER BY revenue DESC"
    ),
    "total revenue per month in 2024": (
        f"SELECT {MONTH} AS month, {REVENUE} {TO_ORDERS} WHERE "
        + within("2024-01-01", "2025-01-01")
        + f" GROUP BY {MONTH} ORDER BY month"
    ),
    "monthly orders": (
        f"SELECT {MONTH} AS month, count(*) AS order_count FROM orders "
        f"GROUP BY {MONTH} ORDER BY month"
    ),
    "How many customers in each segment?": (
        "SELECT customers.segment, count(*) AS customer_count FROM customers "
        "GROUP BY customers.segment ORDER BY customer_count DESC"
    ),
    "What is the average price of products?": (
        "SELECT avg(products.price) AS average_price FROM products"
    ),
    "average product price by category": (
        "SELECT products.category, avg(products.price) AS average_price FROM products "
        "GROUP BY products.category ORDER BY average_price DESC"
    ),
    "What is the highest price?": "SELECT max(products.price) AS highest_price FROM products",
    "lowest product price": "SELECT min(products.price) AS lowest_price FROM products",
    "How many units were sold?": (
        "SELECT sum(order_items.quantity) AS total_quantity FROM order_items"
    ),
    "Top 5 customers by revenue": (
        f"SELECT customers.name AS customer, {REVENUE} {TO_CUSTOMERS} "
        "GROUP BY customers.id, customers.name ORDER BY revenue DESC LIMIT 5"
    ),
    "bottom 3 categories by revenue": (
        f"SELECT products.category, {REVENUE} {TO_PRODUCTS} "
        "GROUP BY products.category ORDER BY revenue ASC LIMIT 3"
    ),
    "Which country has the most customers?": (
        "SELECT customers.country, count(*) AS customer_count FROM customers "
        "GROUP BY customers.country ORDER BY customer_count DESC LIMIT 1"
    ),
    "Which customer placed the most orders?": (
        "SELECT customers.name AS customer, count(*) AS order_count FROM orders "
        "JOIN customers ON orders.customer_id = customers.id "
        "GROUP BY customers.id, customers.name ORDER BY order_count DESC LIMIT 1"
    ),
    "What is our best selling product?": (
        f"SELECT products.name AS product, {REVENUE} {TO_PRODUCTS} "
        "GROUP BY products.id, products.name ORDER BY revenue DESC LIMIT 1"
    ),
    "turnover by segment and year": (
        "SELECT customers.segment, date_trunc('year', orders.ordered_at)::date AS year, "
        f"{REVENUE} {TO_CUSTOMERS} GROUP BY customers.segment, "
        "date_trunc('year', orders.ordered_at)::date ORDER BY year, segment"
    ),
    "How many customers ordered in 2025?": (
        "SELECT count(*) AS customer_count FROM customers WHERE customers.id IN "
        "(SELECT orders.customer_id FROM orders WHERE " + within("2025-01-01", "2026-01-01") + ")"
    ),
    "How many customers have never ordered?": (
        "SELECT count(*) AS customer_count FROM customers WHERE customers.id NOT IN "
        "(SELECT orders.customer_id FROM orders)"
    ),
    "number of orders by product category": (
        "SELECT products.category, count(DISTINCT orders.id) AS order_count FROM orders "
        "JOIN order_items ON order_items.order_id = orders.id "
        "JOIN products ON order_items.product_id = products.id "
        "GROUP BY products.category ORDER BY order_count DESC"
    ),
    "Average number of orders per customer": (
        "SELECT avg(order_count) AS average_order_count FROM (SELECT count(*) AS order_count "
        "FROM orders JOIN customers ON orders.customer_id = customers.id "
        "GROUP BY customers.id, customers.name) AS grouped"
    ),
    "What is the average order value?": (
        "SELECT sum(i.quantity * i.unit_price) / count(DISTINCT o.id) AS average_order_value "
        "FROM order_items i join orders o on o.id = i.order_id WHERE (o.status = 'paid')"
    ),
    "average order value by country": (
        "SELECT customers.country, sum(i.quantity * i.unit_price) / count(DISTINCT o.id) "
        "AS average_order_value FROM order_items i join orders o on o.id = i.order_id "
        "JOIN customers ON o.customer_id = customers.id WHERE (o.status = 'paid') "
        "GROUP BY customers.country ORDER BY average_order_value DESC"
    ),
    "How many products cost more than 50?": (
        "SELECT count(*) AS product_count FROM products WHERE products.price > 50"
    ),
    "Most expensive product": (
        "SELECT products.id, products.name, products.category, products.price FROM products "
        "ORDER BY products.price DESC LIMIT 1"
    ),
    "the 3 cheapest products": (
        "SELECT products.id, products.name, products.category, products.price FROM products "
        "ORDER BY products.price ASC LIMIT 3"
    ),
    "List all customers in Spain": (
        "SELECT customers.id, customers.name, customers.country, customers.segment "
        "FROM customers WHERE customers.country = 'Spain' ORDER BY customers.id LIMIT 100"
    ),
    "Which countries do our customers come from?": (
        "SELECT DISTINCT customers.country FROM customers ORDER BY customers.country"
    ),
    "How many clients from the United States bought Electronics in Q1 2025?": (
        "SELECT count(*) AS customer_count FROM customers "
        "WHERE customers.country = 'United States' AND customers.id IN "
        "(SELECT orders.customer_id FROM orders WHERE "
        + within("2025-01-01", "2025-04-01")
        + " AND orders.id IN (SELECT order_items.order_id "
        + TO_PRODUCTS
        + " WHERE products.category = 'Electronics'))"
    ),
    "How many books did we sell in 2025?": (
        "SELECT sum(order_items.quantity) AS total_quantity "
        f"{TO_PRODUCTS} JOIN orders ON order_items.order_id = orders.id "
        "WHERE products.category = 'Books' AND " + within("2025-01-01", "2026-01-01")
    ),
    "How many customers bought books in 2025?": (
        "SELECT count(*) AS customer_count FROM customers WHERE customers.id IN "
        "(SELECT orders.customer_id FROM orders WHERE "
        + within("2025-01-01", "2026-01-01")
        + f" AND orders.id IN (SELECT order_items.order_id {TO_PRODUCTS} "
        "WHERE products.category = 'Books'))"
    ),
    "Which month had the highest revenue?": (
        f"SELECT {MONTH} AS month, {REVENUE} {TO_ORDERS} "
        f"GROUP BY {MONTH} ORDER BY revenue DESC LIMIT 1"
    ),
    "Which products have never been sold?": (
        "SELECT products.id, products.name, products.category, products.price FROM products "
        "WHERE products.id NOT IN (SELECT order_items.product_id FROM order_items) "
        "ORDER BY products.id LIMIT 100"
    ),
    "Show me the last 5 orders": (
        "SELECT orders.id, orders.customer_id, orders.ordered_at, orders.status FROM orders "
        "ORDER BY orders.ordered_at DESC LIMIT 5"
    ),
    "List the products in the Garden category": (
        "SELECT products.id, products.name, products.category, products.price FROM products "
        "WHERE products.category = 'Garden' ORDER BY products.id LIMIT 100"
    ),
    "the cheapest book": (
        "SELECT products.id, products.name, products.category, products.price FROM products "
        "WHERE products.category = 'Books' ORDER BY products.price ASC LIMIT 1"
    ),
    "What is the meaning of life?": "SELECT * FROM customers LIMIT 10",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_question(question):
    """A question becomes the SELECT that answers it, which PostgreSQL's grammar accepts."""
    sql = plan_sql(SALES, [question])
    assert sql == QUESTIONS[question]
    postgast.parse(sql)


@pytest.mark.parametrize(
    ("span", "condition"),
    [
        ("in 2025", within("2025-01-01", "2026-01-01")),
        ("during the year 2024", within("2024-01-01", "2025-01-01")),
        ("in December 2024", within("2024-12-01", "2025-01-01")),
        ("in Feb 2024", within("2024-02-01", "2024-03-01")),
        ("in 2024-07", within("2024-07-01", "2024-08-01")),
        ("in Q4 2024", within("2024-10-01", "2025-01-01")),
        ("in the second quarter of 2024", within("2024-04-01", "2024-07-01")),
        ("between 2023 and 2024", within("2023-01-01", "2025-01-01")),
        (
            "from 2024-01-05 to 2024-01-09",
            (
                "orders.ordered_at >= DATE '2024-01-05' AND "
                "orders.ordered_at < DATE '2024-01-09' + INTERVAL '1 day'"
            ),
        ),
        (
            "on 2024-03-05",
            (
                "orders.ordered_at >= DATE '2024-03-05' AND "
                "orders.ordered_at < DATE '2024-03-05' + INTERVAL '1 day'"
            ),
        ),
        ("since 2024", "orders.ordered_at >= DATE '2024-01-01'"),
        ("after 2024", "orders.ordered_at >= DATE '2025-01-01'"),
        ("before March 2024", "orders.ordered_at < DATE '2024-03-01'"),
        ("until 2024", "orders.ordered_at < DATE '2025-01-01'"),
        ("in the last 30 days", "orders.ordered_at >= current_date - INTERVAL '30 days'"),
        ("in the past 2 quarters", "orders.ordered_at >= current_date - INTERVAL '6 months'"),
        (
            "last month",
            (
                "orders.ordered_at >= date_trunc('month', current_date) - INTERVAL '1 month' AND "
                "orders.ordered_at < date_trunc('month', current_date)"
            ),
        ),
        (
            "this year",
            (
                "orders.ordered_at >= date_trunc('year', current_date) AND "
                "orders.ordered_at < date_trunc('year', current_date) + INTERVAL '1 year'"
            ),
        ),
        (
            "yesterday",
            (
                "orders.ordered_at >= current_date - INTERVAL '1 day' AND "
                "orders.ordered_at < current_date"
            ),
        ),
        ("in March", "extract(month FROM orders.ordered_at) = 3"),
    ],
)
def test_spans_of_time(span, condition):
    """A span of time becomes a condition on the date that includes its start and not its end."""
    sql = plan_sql(SALES, [f"How many orders were there {span}?"])
    assert sql == f"SELECT count(*) AS order_count FROM orders WHERE {condition}"
    postgast.parse(sql)


@pytest.mark.parametrize(
    ("chain", "same_as"),
    [
        (["How many orders in 2025?", "and in 2024?"], "How many orders in 2024?"),
        (
            ["How many orders in 2025?", "and in 2024?", "what about Germany?"],
            "How many orders in 2024 in Germany?",
        ),
        (["Revenue from Germany", "and from France?"], "Revenue from France"),
        (["Revenue in 2025", "by country?"], "Revenue by country in 2025"),
        (["Top 5 customers by revenue", "and in 2024?"], "Top 5 customers by revenue in 2024"),
        (["What is the average price?", "and the highest?"], "What is the highest price?"),
        (["Revenue by country", "and how many customers?"], "How many customers by country?"),
    ],
)
def test_follow_ups(chain, same_as):
    """A follow-up changes what it names and keeps the rest of the question before."""
    assert plan_sql(SALES, chain) == plan_sql(SALES, [same_as])


def test_schema_is_read():
    """Keys, links, kinds, values, measures and synonyms are read from DDL and comments."""
    catalog = read_catalog(SALES)
    assert list(catalog.tables) == ["customers", "products", "orders", "order_items"]
    assert {(link.child, link.column, link.parent, link.key) for link in catalog.links} == {
        ("orders", "customer_id", "customers", "id"),
        ("order_items", "order_id", "orders", "id"),
        ("order_items", "product_id", "products", "id"),
    }
    orders = catalog.tables["orders"].columns
    assert [orders[name].kind for name in ("id", "customer_id", "ordered_at", "status")] == [
        "key",
        "key",
        "date",
        "text",
    ]
    assert orders["status"].values == ("paid", "refunded", "cancelled")
    assert catalog.tables["products"].columns["category"].values[0] == "Books"
    assert set(catalog.measures) == {"revenue", "average order value"}
    assert catalog.measures["revenue"].synonyms == ("sales", "turnover")
    assert catalog.tables["customers"].synonyms == ("clients", "buyers")


def test_table_constraints_and_odd_names():
    """Constraints of a table are read as those of a column, and odd names are quoted."""
    ddl = """
    create table if not exists public."Group" (code text, primary key (code));
    create table thing (
        "group" text not null,
        weight double precision,
        constraint fk foreign key ("group") references "Group"
    );
    """
    catalog = read_catalog(ddl)
    (link,) = catalog.links
    assert (link.child, link.column, link.parent, link.key) == ("thing", "group", "Group", "code")
    sql = plan_sql(ddl, ["total weight by group"])
    postgast.parse(sql)
    assert '"Group"' in sql


def test_text_without_a_schema():
    """Without CREATE TABLE there is no plan."""
    assert plan_sql("There is a table of orders.", ["How many orders?"]) is None
    assert not speaks_of_schema("no schema", "How many orders?")


def test_quotes_cannot_break_out():
    """A quote in a quoted name is doubled."""
    sql = plan_sql(SALES, ['orders of customer "O\'Brien"'])
    assert "customers.name = 'O''Brien'" in sql
    postgast.parse(sql)


WORDS = sorted(
    word_set(
        """
        how many number of total average highest top 5 bottom 3 which most least by per each month
        year country customers orders products category segment price quantity revenue sales items
        paid refunded not without never Germany enterprise Books in 2025 last since March 2024 Q1
        above 50 over cheapest latest sold 'Acme' and the for with who ordered monthly trend list
        all different
        """
    )
)


@settings(max_examples=300)
@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9), min_size=1, max_size=3))
def test_any_words_make_a_statement(questions):
    """Whatever words are asked in whatever order, the statement fits PostgreSQL's grammar."""
    postgast.parse(plan_sql(SALES, [" ".join(words) for words in questions]))


RUN_SQL = {
    "type": "function",
    "function": {
        "name": "run_sql",
        "description": "Run a SELECT on the sales database",
        "parameters": {
            "type": "object",
            "properties": {"sql": {"type": "string"}},
            "required": ["sql"],
        },
    },
}


def test_tool_gets_the_sql():
    """A tool with a property sql is called with the plan, also when only the schema matches."""
    messages = [
        {"role": "system", "content": f"You write SQL for this schema:\n{SALES}"},
        {"role": "user", "content": "How many clients are there?"},
    ]
    reply = stand_in({"model": "m", "messages": messages, "tools": [RUN_SQL]})
    assert reply.tool_calls[0].arguments == {"sql": plan_sql(SALES, ["How many customers?"])}


def test_schema_may_stand_in_the_tool():
    """The schema may stand in the tool's description."""
    function = {**RUN_SQL["function"], "description": f"Run SQL on\n{SALES}"}
    messages = [{"role": "user", "content": "How many orders?"}]
    tools = [{"type": "function", "function": function}]
    reply = stand_in({"model": "m", "messages": messages, "tools": tools})
    assert reply.tool_calls[0].arguments["sql"] == "SELECT count(*) AS order_count FROM orders"


def test_response_format_gets_the_sql():
    """A response format with a property sql gets the plan of a follow-up too."""
    schema = {"type": "object", "properties": {"sql": {"type": "string"}}, "required": ["sql"]}
    form = {"type": "json_schema", "json_schema": {"name": "plan", "schema": schema}}
    messages = [
        {"role": "system", "content": SALES},
        {"role": "user", "content": "How many orders in 2025?"},
        {"role": "assistant", "content": "Many."},
        {"role": "user", "content": "and in 2024?"},
    ]
    reply = stand_in({"model": "m", "messages": messages, "response_format": form})
    assert json.loads(reply.text)["sql"].endswith(within("2024-01-01", "2025-01-01"))


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("What was revenue in Atlantis?", "Atlantis"),
        ("Atlantis revenue in 2025", "Atlantis"),
        ("How many orders came from atlantis in March 2025?", "atlantis"),
        ("How many enterprise customers are in Germany and Narnia?", "Narnia"),
    ],
)
def test_what_the_schema_does_not_know_is_refused(question, name):
    """A place or name that is nowhere in the schema is never left out of a statement."""
    assert plan_sql(SALES, [question]) == f'SELECT NULL AS "nothing is known of {name}" LIMIT 0'
    assert not speaks_of_schema(SALES, question)
