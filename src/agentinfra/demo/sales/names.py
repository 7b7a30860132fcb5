"""What the shop of the demo sells, where, and what its customers are called."""

from __future__ import annotations

__all__ = ["CATALOG", "CHANNELS", "CITIES", "FIRST_NAMES", "LAST_NAMES", "SEGMENTS", "STATUSES"]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CATALOG: dict[str, tuple[tuple[str, int], ...]] = {
    "Tents": (
        ("Ridgeline Solo Tent", 21900),
        ("Ridgeline Duo Tent", 28900),
        ("Basecamp Family Tent", 46900),
        ("Featherlight Tarp", 8900),
        ("Snowfield Expedition Tent", 74900),
    ),
    "Sleeping Bags": (
        ("Summer Down Quilt", 15900),
        ("Three Season Sleeping Bag", 18900),
        ("Winter Down Sleeping Bag", 34900),
        ("Silk Liner", 3900),
        ("Insulated Sleeping Mat", 9900),
    ),
    "Backpacks": (
        ("Day Hiker 20", 6900),
        ("Trail Pack 35", 11900),
        ("Trek Pack 60", 18900),
        ("Alpine Pack 40", 15900),
        ("City Roll Top", 8900),
    ),
    "Footwear": (
        ("Forest Trail Runner", 11900),
        ("Granite Hiking Boot", 18900),
        ("Glacier Mountaineering Boot", 32900),
        ("River Sandal", 6900),
        ("Merino Hiking Socks", 1900),
    ),
    "Jackets": (
        ("Drizzle Rain Jacket", 12900),
        ("Stormwall Hardshell", 29900),
        ("Ember Down Jacket", 21900),
        ("Breeze Wind Shirt", 7900),
        ("Merino Base Layer", 6900),
    ),
    "Cooking": (
        ("Pocket Gas Stove", 4900),
        ("Titanium Pot 900 ml", 5900),
        ("Family Cook Set", 8900),
        ("Water Filter", 4500),
        ("Insulated Bottle", 2900),
    ),
    "Lighting": (
        ("Beam 350 Headlamp", 4900),
        ("Beam 700 Headlamp", 8900),
        ("Camp Lantern", 3900),
        ("Solar Charger 15 W", 7900),
        ("Power Bank 20 Ah", 5900),
    ),
    "Climbing": (
        ("Crag Harness", 6900),
        ("Dynamic Rope 60 m", 17900),
        ("Quickdraw Set", 9900),
        ("Summit Helmet", 7900),
        ("Chalk Bag", 1900),
    ),
}
"""Products by category, with their list price in cents."""

CITIES: dict[str, tuple[str, ...]] = {
    "Germany": ("Berlin", "Hamburg", "Munich", "Leipzig"),
    "France": ("Paris", "Lyon", "Grenoble"),
    "Italy": ("Milan", "Turin", "Bolzano"),
    "Spain": ("Madrid", "Barcelona", "Bilbao"),
    "Netherlands": ("Amsterdam", "Utrecht"),
    "Switzerland": ("Zurich", "Bern", "Chur"),
    "United Kingdom": ("London", "Manchester", "Edinburgh"),
    "United States": ("Denver", "Portland", "Boston", "Seattle"),
    "Canada": ("Vancouver", "Calgary", "Montreal"),
    "Japan": ("Tokyo", "Osaka", "Sapporo"),
}
"""Cities by country; a country listed earlier has more customers."""

FIRST_NAMES = _names(
    """
    Aiko Alice Amir Anna Ben Carla Chloe Daniel David Elena Emma Erik Fatima Felix Greta Hana
    Hugo Ines Ivan Jack Jana Julia Kenji Lara Leo Lina Lucas Marco Maria Marta Max Mia Nadia Nina
    Noah Olga Oliver Omar Paula Peter Priya Rosa Samuel Sara Sofia Theo Tim Vera Yuki Zoe
    """
)

LAST_NAMES = _names(
    """
    Adams Becker Bianchi Brown Bauer Carter Clark Costa Dubois Evans Fischer Fontana Garcia
    Graf Gruber Hansen Hill Hoffmann Ito Jansen Keller King Klein Laurent Lopez Martin Meyer
    Moreau Moretti Nakamura Navarro Novak Okafor Patel Petit Ricci Rossi Roux Ruiz Santos Sato
    Schmidt Silva Smith Tanaka Taylor Visser Wagner Weber Young
    """
)

SEGMENTS = (("consumer", 0.72), ("business", 0.2), ("school", 0.08))
CHANNELS = (("web", 0.58), ("mobile", 0.27), ("retail", 0.15))
STATUSES = (("delivered", 0.84), ("shipped", 0.05), ("returned", 0.05), ("cancelled", 0.06))
"""Values and their share."""
