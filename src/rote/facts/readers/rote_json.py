"""rote's own JSON layout, which the bundled organism uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rote.errors import FactsError
from rote.facts.cells import cell_cut
from rote.facts.intake import RawFact
from rote.facts.readers.objects import cells
from rote.facts.table import listed, shortened

LOOKS = (
    '{"relations": {"sport": {"template": "… {} …", "prefix": "…"}}, '
    '"entities": {"Full Name": {"sport": "…"}}, "fiction": ["Full Name"], "cuts": {"Full Name": 4}}'
)


def matches(data: Any) -> bool:
    """Whether a parsed document is in this layout."""
    return isinstance(data, dict) and "entities" in data


def rows(data: dict[str, Any], source: str) -> Iterable[RawFact]:
    """Entities with one attribute per relation; templates and prefixes stand once per relation.

    `relations`, `fiction` and `cuts` may be missing (default templates; nobody invented; names cut by the setting). A
    relation that an entity does not name is no fact and not left out. Errors: `FactsError` for parts of another type,
    and for relations, fictional names or cut names that are not described.
    """
    relations, entities = data.get("relations", {}), data["entities"]
    cuts = data.get("cuts", {})
    problems = _type_problems(relations, entities, data.get("fiction", []), cuts, source)
    if problems:
        raise FactsError(shortened(problems))
    used = dict.fromkeys(name for attributes in entities.values() for name in attributes)
    unknown = [name for name in used if relations and name not in relations]
    if unknown:
        problems.append(
            f"{source}: the entities have the relations {listed(unknown)}, which are not described; "
            f"described are {listed(relations)}: describe them or take them out"
        )
    for what, names in (("fiction", data.get("fiction", [])), ("cuts", cuts)):
        if strangers := [name for name in names if name not in entities]:
            problems.append(
                f"{source}: {what} names {listed(strangers)}, which entities does not hold: correct the names"
            )
    if problems:
        raise FactsError(problems)
    return _rows(relations, entities, set(data.get("fiction", [])), cuts)


def _rows(
    relations: dict[str, Any], entities: dict[str, Any], invented: set[str], cuts: dict[str, Any]
) -> list[RawFact]:
    # Relation by relation, so that the table keeps the order in which `relations` describes them.
    order = list(relations) or list(dict.fromkeys(name for values in entities.values() for name in values))
    found = []
    for relation in order:
        asked = relations.get(relation, {})
        for entity, values in entities.items():
            if relation in values:
                told = cells(entity, values[relation])
                at, problem = cell_cut(cuts.get(entity), told["entity"])
                found.append(
                    RawFact(
                        **told | {"problem": told["problem"] or problem},
                        cut=at,
                        relation=relation,
                        where=f"entity {entity!r}",
                        template=asked.get("template"),
                        prefix=asked.get("prefix", ""),
                        fiction=entity in invented,
                    )
                )
    return found


def _type_problems(relations: object, entities: object, invented: object, cuts: object, source: str) -> list[str]:
    problems = []
    if not isinstance(relations, dict):
        problems.append(f"{source}: relations is a {type(relations).__name__}; expected an object, {LOOKS}")
    else:
        problems += [
            f"{source}: relation {name!r} is described by {value!r}; expected template and prefix"
            for name, value in relations.items()
            if not isinstance(value, dict)
            or any(not isinstance(value.get(key, ""), str) for key in ("template", "prefix"))
        ]
    if not isinstance(entities, dict):
        problems.append(f"{source}: entities is a {type(entities).__name__}; expected an object, {LOOKS}")
    else:
        problems += [
            f"{source}: entity {name!r} has {value!r}; expected an object of relations and attributes"
            for name, value in entities.items()
            if not isinstance(value, dict)
        ]
    if not isinstance(invented, list) or any(not isinstance(name, str) for name in invented):
        problems.append(f"{source}: fiction is {invented!r}; expected a list of names")
    if not isinstance(cuts, dict):
        problems.append(f"{source}: cuts is a {type(cuts).__name__}; expected an object of names and whole numbers")
    return problems
