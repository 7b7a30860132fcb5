"""The tables of the demo's shop: what creates them, and what a model is told of them."""

from __future__ import annotations

from collections.abc import Iterable

from agentinfra.demo.sales.names import CATALOG, CHANNELS, CITIES, SEGMENTS, STATUSES

__all__ = ["SALES_SCHEMA", "TABLES", "describe"]

SALES_SCHEMA = "demo_sales"


def _values(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


_FIRSTS = {name: [value for value, _ in pairs] for name, pairs in
           (("segment", SEGMENTS), ("channel", CHANNELS), ("status", STATUSES))}  # fmt: skip

_CUSTOMERS = f"""\
CREATE TABLE customers (
  -- synonyms clients, buyers
  id integer PRIMARY KEY,
  name text NOT NULL,
  country text NOT NULL, -- values {_values(CITIES)}
  city text NOT NULL, -- values {_values(city for cities in CITIES.values() for city in cities)}
  segment text NOT NULL, -- values {_values(_FIRSTS["segment"])}
  signed_up date NOT NULL
);
"""

_PRODUCTS = f"""\
CREATE TABLE products (
  -- synonyms articles
  id integer PRIMARY KEY,
  name text NOT NULL, -- values {_values(name for items in CATALOG.values() for name, _ in items)}
  category text NOT NULL, -- values {_values(CATALOG)}
  price numeric(10, 2) NOT NULL -- list price in euros
);
"""

_ORDERS = f"""\
CREATE TABLE orders (
  -- synonyms purchases
  id integer PRIMARY KEY,
  customer_id integer NOT NULL REFERENCES customers (id),
  ordered_on date NOT NULL, -- from 2024-01-01 to 2025-12-31
  status text NOT NULL, -- values {_values(_FIRSTS["status"])}
  channel text NOT NULL -- values {_values(_FIRSTS["channel"])}
);
"""

_ORDER_ITEMS = """\
CREATE TABLE order_items (
  id integer PRIMARY KEY,
  order_id integer NOT NULL REFERENCES orders (id),
  product_id integer NOT NULL REFERENCES products (id),
  quantity integer NOT NULL, -- quantity: synonyms units, units sold, pieces
  unit_price numeric(10, 2) NOT NULL -- what was paid for one, in euros
);
"""

TABLES = _CUSTOMERS + _PRODUCTS + _ORDERS + _ORDER_ITEMS
"""Creates the tables: a referenced one before those that refer to it."""

_SOLD = "from order_items i join orders o on o.id = i.order_id where o.status <> 'cancelled'"

_MEASURES = f"""\
-- measure revenue = sum(i.quantity * i.unit_price) {_SOLD}
-- revenue: synonyms sales, turnover, income
-- measure average order value = \
round(sum(i.quantity * i.unit_price) / count(distinct o.id), 2) {_SOLD}
"""


def describe() -> str:
    """Return the tables and the shop's own words, as a model is told of them.

    What happens comes first, what it happens to after it: most questions are about orders.
    """
    return _ORDERS + _ORDER_ITEMS + _PRODUCTS + _CUSTOMERS + _MEASURES
