"""Values that fit a JSON schema, filled from a question.

Understood: type (also a list of types), enum, const, default, properties and required, items,
prefixItems, minItems, maxItems, uniqueItems, anyOf, oneOf, allOf, ``$ref`` into the same schema,
minimum, maximum (and exclusive), multipleOf, minLength, maxLength, pattern, format. Not
understood: not, if/then/else, patternProperties, dependentSchemas, minProperties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from agentinfra.testing.answers.evidence import Evidence
from agentinfra.testing.answers.numbers import fill_boolean, fill_number
from agentinfra.testing.answers.strings import Wording, fill_string

__all__ = ["MISSING", "Filler", "Spot"]

MISSING: Final = object()
_DEEPEST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a value goes.

    Attributes:
        name: The property's name, empty for the root and for items.
        description: What the schema says about it.
        required: False: leave it out unless the question speaks of it.
        depth: How many objects and arrays it is inside of.
    """

    name: str = ""
    description: str = ""
    required: bool = True
    depth: int = 0


class Filler:
    """Fills schemas for one request.

    Args:
        root: The schema that ``$ref`` points into.
        evidence: What the question holds; used up while filling.
        wording: What the question itself does not hold: the answer, the choices.
    """

    def __init__(
        self,
        root: Mapping[str, Any],
        evidence: Evidence,
        wording: Wording,
    ) -> None:
        self._root = root
        self._evidence = evidence
        self._wording = wording

    def fill(self, schema: Any, spot: Spot) -> Any:
        """Return a value for a schema, ``MISSING`` for an optional one that nothing speaks for."""
        schema = self._resolve(schema)
        spot = replace(spot, description=schema.get("description") or spot.description)
        if "const" in schema:
            return schema["const"] if spot.required else MISSING
        if "enum" in schema:
            return self._choose(list(schema["enum"]), schema, spot)
        if variants := schema.get("anyOf") or schema.get("oneOf"):
            return self._variant([self._resolve(variant) for variant in variants], schema, spot)
        return self._typed(schema, _types(schema), spot)

    def _resolve(self, schema: Any) -> Mapping[str, Any]:
        """Return a schema with its references followed and its allOf merged."""
        if not isinstance(schema, Mapping):
            return {}
        seen = 0
        while "$ref" in schema and seen < _DEEPEST * 4:
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self._lookup(schema["$ref"]), **rest}
            seen += 1
        for part in schema.get("allOf") or ():
            schema = _merged(schema, self._resolve(part))
        return dict(schema)

    def _lookup(self, pointer: str) -> Mapping[str, Any]:
        target: Any = self._root
        for step in pointer.removeprefix("#").strip("/").split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            if key and isinstance(target, Mapping):
                target = target.get(key, {})
        return target if isinstance(target, Mapping) else {}

    def _typed(self, schema: Mapping[str, Any], types: Sequence[str], spot: Spot) -> Any:
        if "null" in types:
            return self._nullable(schema, [kind for kind in types if kind != "null"], spot)
        kind = types[0] if types else "string"
        if kind == "object":
            return self._object(schema, spot)
        if kind == "array":
            return self._array(schema, spot)
        value = self._scalar(kind, schema, spot)
        return MISSING if value is None else value

    def _scalar(self, kind: str, schema: Mapping[str, Any], spot: Spot) -> Any:
        name, needed, evidence = spot.name, spot.required, self._evidence
        if kind in ("integer", "number"):
            return fill_number(schema, name, evidence, integer=kind == "integer", required=needed)
        if kind == "boolean":
            return fill_boolean(schema, name, spot.description, evidence, required=needed)
        return fill_string(schema, name, spot.description, evidence, self._wording, required=needed)

    def _nullable(self, schema: Mapping[str, Any], types: Sequence[str], spot: Spot) -> Any:
        value: Any = MISSING
        if types and spot.depth < _DEEPEST:
            value = self._typed(schema, types, replace(spot, required=False))
        if value is not MISSING or not spot.required:
            return value
        return None

    def _choose(self, values: list[Any], schema: Mapping[str, Any], spot: Spot) -> Any:
        said = [
            (place, value)
            for value in values
            if value is not None and (place := self._evidence.place_of(str(value))) is not None
        ]
        if said:
            return min(said, key=lambda pair: pair[0])[1]
        if not spot.required:
            return MISSING
        if None in values and schema.get("default") is None:
            return None
        texts = [value for value in values if isinstance(value, str)]
        default = schema.get("default")
        if len(texts) == len(values):
            return self._wording.chosen(
                texts, spot.description, default if default in values else None
            )
        return default if default in values else values[0]

    def _variant(
        self, variants: list[Mapping[str, Any]], schema: Mapping[str, Any], spot: Spot
    ) -> Any:
        if all("const" in variant for variant in variants):
            return self._constant(variants, spot)
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        variants = [_merged(variant, rest) for variant in variants]
        real = [variant for variant in variants if _types(variant) != ["null"]]
        start = self._evidence.mark()
        if spot.depth < _DEEPEST or len(real) == len(variants):
            for variant in real:
                value = self.fill(variant, replace(spot, required=False))
                if value is not MISSING:
                    return value
                self._evidence.reset(start)
        if not spot.required:
            return MISSING
        return None if len(real) < len(variants) else self.fill(real[0], spot)

    def _constant(self, variants: list[Mapping[str, Any]], spot: Spot) -> Any:
        """Choose among constants that each have a description."""
        options = {
            str(variant["const"]): variant.get("description") or variant.get("title") or ""
            for variant in variants
        }
        said = [name for name in options if self._evidence.says(name)]
        if not said and not spot.required:
            return MISSING
        described = "\n".join(f"{name}: {text}" for name, text in options.items())
        chosen = said[0] if said else self._wording.chosen(list(options), described, None)
        return next(variant["const"] for variant in variants if str(variant["const"]) == chosen)

    def _object(self, schema: Mapping[str, Any], spot: Spot) -> Any:
        required = schema.get("required") or ()
        properties: Mapping[str, Any] = schema.get("properties") or {}
        if not spot.required and not self._speaks_of(properties, spot):
            return MISSING
        filled: dict[str, Any] = {}
        for name, inner in properties.items():
            needed = name in required
            if not needed and spot.depth >= _DEEPEST:
                continue
            value = self.fill(inner, Spot(name=name, required=needed, depth=spot.depth + 1))
            if value is not MISSING:
                filled[name] = value
        for name in required:
            filled.setdefault(name, self._evidence.question)
        return filled

    def _speaks_of(self, properties: Mapping[str, Any], spot: Spot) -> bool:
        """Return whether the question holds a value for any property of an optional object."""
        if spot.depth >= _DEEPEST:
            return False
        start = self._evidence.mark()
        spots = [Spot(name=name, required=False, depth=spot.depth + 1) for name in properties]
        found = any(
            self.fill(inner, place) is not MISSING
            for inner, place in zip(properties.values(), spots, strict=True)
        )
        self._evidence.reset(start)
        return found

    def _array(self, schema: Mapping[str, Any], spot: Spot) -> Any:
        least, most = schema.get("minItems") or 0, schema.get("maxItems")
        if spot.depth >= _DEEPEST and not least:
            return [] if spot.required else MISSING
        items = self._items(schema, spot)
        if not items and not spot.required:
            return MISSING
        if not items and spot.required and spot.depth < _DEEPEST:
            items = self._one_item(schema, spot)
        if schema.get("uniqueItems"):
            items = [item for place, item in enumerate(items) if item not in items[:place]]
        while len(items) < least:
            items.append(self._another(schema, items, spot))
        return items if most is None else items[:most]

    def _items(self, schema: Mapping[str, Any], spot: Spot) -> list[Any]:
        """Return the items the question speaks of."""
        inside = Spot(name="", description=spot.description, required=False, depth=spot.depth + 1)
        if prefix := schema.get("prefixItems"):
            return [self.fill(item, replace(inside, required=True)) for item in prefix]
        item = self._resolve(schema.get("items"))
        if "enum" in item:
            return [value for value in item["enum"] if self._evidence.says(str(value))]
        kinds = _types(item)
        kind = kinds[0] if len(kinds) == 1 else "string" if not item else ""
        if kind == "string" and (listed := self._wording.listed(spot.name)) is not None:
            return list(listed)
        if kind in ("integer", "number"):
            return self._numbers(item, integer=kind == "integer")
        if kind == "string" and not {"pattern", "format", "minLength"} & set(item):
            longest = item.get("maxLength")
            listed = self._evidence.listed(names=spot.required)
            return [name[:longest] for name in listed]
        value = self.fill(item, inside) if item else MISSING
        return [] if value is MISSING else [value]

    def _numbers(self, item: Mapping[str, Any], *, integer: bool) -> list[Any]:
        found = []
        while (
            value := fill_number(item, "", self._evidence, integer=integer, required=False)
        ) is not None:
            found.append(value)
        return found

    def _one_item(self, schema: Mapping[str, Any], spot: Spot) -> list[Any]:
        if self._wording.listed(spot.name) is not None:
            return []
        return [self._another(schema, [], spot)]

    def _another(self, schema: Mapping[str, Any], items: list[Any], spot: Spot) -> Any:
        """Return one more item, other than those there are where it must be."""
        item = self._resolve(schema.get("items"))
        inside = Spot(description=spot.description, depth=spot.depth + 1)
        value = self.fill(item, inside)
        if not schema.get("uniqueItems") or value not in items:
            return value
        if "enum" in item:
            return next((other for other in item["enum"] if other not in items), value)
        if isinstance(value, str):
            return f"{value} {len(items) + 1}"
        return value + len(items) if isinstance(value, int | float) else value


def _types(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return [kind]
    if isinstance(kind, Sequence):
        return list(kind)
    if "properties" in schema:
        return ["object"]
    return ["array"] if "items" in schema or "prefixItems" in schema else []


def _merged(schema: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**part, **schema}
    for key in ("properties", "$defs"):
        if key in schema and key in part:
            merged[key] = {**part[key], **schema[key]}
    if "required" in schema and "required" in part:
        merged["required"] = [*part["required"], *schema["required"]]
    merged.pop("allOf", None)
    return merged
