"""The sales of the demo's shop: the same rows on every machine, made from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from agentinfra.demo.sales.names import (
    CATALOG,
    CHANNELS,
    CITIES,
    FIRST_NAMES,
    LAST_NAMES,
    SEGMENTS,
    STATUSES,
)

__all__ = ["Customer", "Order", "OrderItem", "Product", "Sales", "make_sales"]

T = TypeVar("T")

FIRST_DAY = date(2024, 1, 1)
DAYS = 731
"""Two years, 2024 (a leap year) and 2025."""

_SEED = 20240101
_CUSTOMERS = 320
_ORDERS = 1800
_SEASON = (0.7, 0.7, 0.9, 1.0, 1.25, 1.35, 1.3, 1.15, 0.95, 0.8, 1.1, 1.3)
"""How busy each month is; people buy before summer and before Christmas."""

_GROWTH = 0.35
"""How much busier the second year is than the first."""

_MOST_ITEMS = 5
_DISCOUNT = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A row of ``customers``."""

    id: int
    name: str
    country: str
    city: str
    segment: str
    signed_up: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A row of ``products``."""

    id: int
    name: str
    category: str
    price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A row of ``orders``."""

    id: int
    customer_id: int
    ordered_on: date
    status: str
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderItem:
    """A row of ``order_items``."""

    id: int
    order_id: int
    product_id: int
    quantity: int
    unit_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Sales:
    """All rows, table by table, a referenced table before those that refer to it."""

    customers: tuple[Customer, ...]
    products: tuple[Product, ...]
    orders: tuple[Order, ...]
    order_items: tuple[OrderItem, ...]

    def tables(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        """Yield each table's name and its rows, as the database takes them."""
        for name in ("customers", "products", "orders", "order_items"):
            yield name, [astuple(row) for row in getattr(self, name)]


def make_sales() -> Sales:
    """Return the shop's sales of 2024 and 2025."""
    draw = _Draw(_SEED)
    customers = tuple(_customer(draw, number) for number in range(1, _CUSTOMERS + 1))
    products = tuple(_products())
    days = sorted(_busy_day(draw) for _ in range(_ORDERS))
    orders = tuple(_order(draw, number, day, customers) for number, day in enumerate(days, start=1))
    items = tuple(_numbered(_items(draw, order, products) for order in orders))
    return Sales(customers=customers, products=products, orders=orders, order_items=items)


class _Draw:
    """Draws by ``random()`` alone, whose sequence is the same in every version of Python."""

    def __init__(self, seed: int) -> None:
        self.fraction = random.Random(seed).random  # noqa: S311 - names of tents, not secrets

    def below(self, end: int) -> int:
        return int(self.fraction() * end)

    def one(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def early(self, values: Sequence[T]) -> T:
        """Return one value, the first ones more often than the last ones."""
        return values[int(self.fraction() ** 2 * len(values))]

    def weighted(self, shares: Sequence[tuple[str, float]]) -> str:
        left = self.fraction()
        for value, share in shares:
            left -= share
            if left < 0:
                return value
        return shares[0][0]


def _customer(draw: _Draw, number: int) -> Customer:
    country = draw.early(tuple(CITIES))
    # The first hundred were there before the shop's books begin.
    since = timedelta(days=-draw.below(180) if number <= 100 else draw.below(DAYS - 40))
    return Customer(
        id=number,
        name=f"{draw.one(FIRST_NAMES)} {draw.one(LAST_NAMES)}",
        country=country,
        city=draw.one(CITIES[country]),
        segment=draw.weighted(SEGMENTS),
        signed_up=FIRST_DAY + since,
    )


def _products() -> Iterator[Product]:
    listed = ((category, *item) for category, items in CATALOG.items() for item in items)
    for number, (category, name, cents) in enumerate(listed, start=1):
        yield Product(id=number, name=name, category=category, price=_money(cents))


def _busy_day(draw: _Draw) -> date:
    busiest = max(_SEASON) * (1 + _GROWTH)
    while True:
        day = FIRST_DAY + timedelta(days=draw.below(DAYS))
        growth = 1 + _GROWTH * (day.year - FIRST_DAY.year)
        if draw.fraction() * busiest < _SEASON[day.month - 1] * growth:
            return day


def _order(draw: _Draw, number: int, day: date, customers: Sequence[Customer]) -> Order:
    customer = draw.early(customers)
    while customer.signed_up > day:
        customer = draw.early(customers)
    return Order(
        id=number,
        customer_id=customer.id,
        ordered_on=day,
        status=draw.weighted(STATUSES),
        channel=draw.weighted(CHANNELS),
    )


def _items(draw: _Draw, order: Order, products: Sequence[Product]) -> Iterator[dict[str, Any]]:
    bought: list[Product] = []
    for _ in range(1 + draw.below(draw.below(_MOST_ITEMS) + 1)):
        product = draw.one(products)
        if product not in bought:
            bought.append(product)
    for product in bought:
        cents = int(product.price * 100)
        if draw.fraction() < _DISCOUNT:
            cents = cents * 9 // 10
        quantity = 1 + draw.below(1 + draw.below(3))
        yield {
            "order_id": order.id,
            "product_id": product.id,
            "quantity": quantity,
            "unit_price": _money(cents),
        }


def _numbered(orders: Iterator[Iterator[dict[str, Any]]]) -> Iterator[OrderItem]:
    number = 0
    for items in orders:
        for item in items:
            number += 1
            yield OrderItem(id=number, **item)


def _money(cents: int) -> Decimal:
    return Decimal(cents) / 100
