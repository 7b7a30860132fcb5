"""The words the guard knows."""

from __future__ import annotations

__all__ = ["DATES", "NEGATIONS", "NUMBERS", "OPENERS", "UNITS"]

# Without "one": this one, which one.
_NUMBERS = """
zero 0 two 2 three 3 four 4 five 5 six 6 seven 7 eight 8 nine 9 ten 10 eleven 11 twelve 12
thirteen 13 fourteen 14 fifteen 15 sixteen 16 seventeen 17 eighteen 18 nineteen 19 twenty 20
thirty 30 forty 40 fifty 50 sixty 60 seventy 70 eighty 80 ninety 90 hundred 100 thousand 1000
million 1000000 billion 1000000000 half 0.5 twice 2 dozen 12
"""

_UNITS = """
g h s min mins hr hrs sec secs
km kilometer kilometers kilometre kilometres mile miles meter meters metre metres foot feet inch
inches cm mm yard yards kg kilogram kilograms pound pounds ounce ounces gram grams ton tons liter
liters litre litres gallon gallons celsius fahrenheit kelvin second seconds minute minutes hour
hours day days week weeks month months year years usd eur gbp jpy chf dollar dollars euro euros yen
percent byte bytes kb mb gb tb watt watts volt volts calorie calories degree degrees kilo kilos mg
ml mph kph
"""

_NEGATIONS = """
not no never none nobody nothing nowhere neither nor without except unless cannot cant wont dont
doesnt didnt isnt arent wasnt werent shouldnt wouldnt couldnt hasnt havent hadnt
nicht kein keine keinen keiner nie ohne pas sans jamais aucun aucune ni sin nunca
"""

_DATES = """
monday tuesday wednesday thursday friday saturday sunday january february march april june july
august september october november december today tomorrow yesterday tonight
"""

_OPENERS = """
a about add an and any are as at be book by call can change check compare convert could create
delete describe did do does explain find for from get give had has have hello help hey hi how i if
im in is it its let list look make may me might my need no of ok on or order our out please put
read remind remove say schedule search send set she he they we you should show since so start stop
summarize tell thanks that the their then there these this those to translate try turn update use
want was were what whats when where which while who whom whose why will with would write yes your
"""

NUMBERS = dict(zip(_NUMBERS.split()[::2], _NUMBERS.split()[1::2], strict=True))
"""Numbers in words, and in digits."""

UNITS = frozenset(_UNITS.split())
"""What is measured in, one and many."""

NEGATIONS = frozenset(_NEGATIONS.split())
"""Words that deny something."""

DATES = frozenset(_DATES.split())
"""Words that name a time, in lower case too; without "may"."""

OPENERS = frozenset(_OPENERS.split())
"""What sentences begin with and what names nothing, though it has a capital there."""
