"""OpenAI's documented rules of strict mode, written a second time to check the form with."""

ALLOWED = {"type", "properties", "required", "additionalProperties", "items", "enum", "const"}
ALLOWED |= {"anyOf", "$ref", "$defs", "description", "title", "pattern", "format", "multipleOf"}
ALLOWED |= {"maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum", "minItems", "maxItems"}


def broken_rules(schema):
    """Return what strict mode would refuse in a schema, one line each."""
    found = list(_broken(schema, schema, "$"))
    if schema.get("type") != "object":
        found.append("$: the root is no object")
    for name, inner in schema.get("$defs", {}).items():
        found += _broken(inner, schema, f"$defs.{name}")
    return found


def _broken(node, root, path):
    if not isinstance(node, dict):
        yield f"{path}: no schema"
        return
    if unknown := node.keys() - ALLOWED:
        yield f"{path}: {sorted(unknown)}"
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/$defs/")
        known = node["$ref"] == "#" or name in root.get("$defs", {})
        if not known or set(node) != {"$ref"}:
            yield f"{path}: a $ref that leads nowhere, or has something beside it"
    elif "anyOf" in node:
        for place, branch in enumerate(node["anyOf"]):
            yield from _broken(branch, root, f"{path}|{place}")
    elif "type" not in node:
        yield f"{path}: no type"
    elif node["type"] == "object":
        yield from _broken_object(node, root, path)
    elif node["type"] == "array":
        yield from _broken(node.get("items"), root, f"{path}[]")


def _broken_object(node, root, path):
    if node.get("additionalProperties") is not False:
        yield f"{path}: not closed"
    if node.get("required") != list(node["properties"]):
        yield f"{path}: not all required"
    for name, inner in node["properties"].items():
        yield from _broken(inner, root, f"{path}.{name}")


def example(node, root, choose, depth=0):
    """Return a value of a strict form; ``choose`` picks one of several."""
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/$defs/")
        return example(
            root if node["$ref"] == "#" else root["$defs"][name], root, choose, depth + 1
        )
    if "anyOf" in node:
        branches = node["anyOf"]
        nothing = [branch for branch in branches if branch.get("type") == "null"]
        return example(
            choose(nothing if depth > 4 and nothing else branches), root, choose, depth + 1
        )
    if "const" in node or "enum" in node:
        return node["const"] if "const" in node else choose(node["enum"])
    kind = node["type"]
    if isinstance(kind, list):
        kind = "null" if depth > 4 and "null" in kind else choose(kind)
    if kind == "object":
        inner = node["properties"].items()
        return {name: example(one, root, choose, depth + 1) for name, one in inner}
    if kind == "array":
        least = node.get("minItems", 0)
        many = least if depth > 4 else min(max(least, 2), node.get("maxItems", 2))
        return [example(node["items"], root, choose, depth + 1) for _ in range(many)]
    low = node.get("minimum", node.get("exclusiveMinimum", 0))
    return {"string": "text", "integer": int(low) + 1, "number": low + 0.5}.get(
        kind, True if kind == "boolean" else None
    )
