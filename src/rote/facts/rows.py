"""From the rows that a reader finds to a table of facts: one set of rules for every file layout."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real

from rote.errors import FactsError
from rote.facts.table import (
    Fact,
    FactTable,
    LeftOut,
    Relation,
    listed,
    one_template,
    relation_problems,
    shortened,
    unknown_relation,
)

DEFAULT_TEMPLATE = "Fact: The {relation} of {{}} is"


@dataclass(frozen=True, kw_only=True)
class RawFact:
    """One row as a reader found it; `relation` None = the layout has no relation names."""

    entity: str
    relation: str | None
    attribute: str
    where: str
    template: str | None = None
    prefix: str | None = None
    fiction: bool = False
    problem: str = ""

    @property
    def reason(self) -> str:
        """Why this row is no fact; "" when it is one."""
        if self.problem:
            return self.problem
        if not self.relation:
            return "the relation is empty"
        if not self.entity:
            return "the entity is empty"
        return "" if self.attribute else "the attribute is empty"


def default_template(relation: str) -> str:
    """The question asked when a source gives none: `Fact: The <relation> of {} is`, `_` read as a space."""
    return DEFAULT_TEMPLATE.format(relation=relation.replace("_", " "))


def cell_text(value: object, what: str) -> tuple[str, str]:
    """A cell as (text without outer blanks, problem); one of the two is "".

    Missing values (None, NaN, NaT, NA) are empty; whole floats lose their `.0`, since a column of
    integers with a gap arrives as floats.
    """
    if isinstance(value, str):
        text = value.strip()
        return (text, "") if _is_text(text) else ("", f"the {what} is no valid Unicode")
    if isinstance(value, bool):
        return str(value), ""
    if value is None or type(value).__name__ in ("NaTType", "NAType"):
        return "", f"the {what} is empty"
    if isinstance(value, Integral):
        return str(int(value)), ""
    if isinstance(value, Real):
        number = float(value)
        if not math.isfinite(number):
            return "", f"the {what} is empty"
        return (str(int(number)) if number.is_integer() else str(number)), ""
    return "", f"the {what} is a {type(value).__name__}; expected text"


def assemble(
    name: str,
    rows: Sequence[RawFact],
    *,
    relation: str | Sequence[str] | None = None,
    template: str | None = None,
    prefix: str | None = None,
) -> FactTable:
    """The table made of raw rows; every rule about relations, templates and duplicates lives here.

    - Rows of one relation with different templates become one relation per template, named
      `relation: template`; selecting `relation` takes them all.
    - An entity that stands twice in a relation is kept once when its attributes agree, not at all when
      they conflict; either way the others are in `left_out`.

    Errors: `FactsError` with every problem found.
    """
    wanted = _wanted(relation)
    rows = _named(rows, wanted, name)
    if template is not None:
        rows = _with_template(rows, wanted, template)
    if prefix is not None:
        rows = [replace(row, prefix=prefix) for row in rows]
    usable = [row for row in rows if not row.reason]
    unusable = [row for row in rows if row.reason]
    if not usable:
        raise FactsError(_nothing(name, unusable))
    groups = _picked(_groups(usable, name), wanted, unusable, name)
    bases = {group.base for group in groups}
    left_out = [
        LeftOut(entity=row.entity, relation=row.relation or "", reason=f"{row.where}: {row.reason}")
        for row in unusable
        if wanted is None or not row.relation or row.relation in bases
    ]
    facts: list[Fact] = []
    for group in groups:
        kept, doubled = _once(group)
        facts += kept
        left_out += doubled
    entities = {fact.entity for fact in facts}
    fiction = dict.fromkeys(row.entity for row in usable if row.fiction and row.entity in entities)
    return FactTable(
        name=name,
        relations=_relations(groups),
        facts=tuple(facts),
        left_out=tuple(left_out),
        fiction=tuple(fiction),
    )


@dataclass(frozen=True, kw_only=True)
class _Group:
    """The usable rows that become one relation; `base` is the relation's name in the source."""

    name: str
    base: str
    template: str
    prefix: str
    rows: tuple[RawFact, ...]


def _wanted(relation: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if relation is None:
        return None
    wanted = (relation,) if isinstance(relation, str) else tuple(relation)
    if not wanted or any(not isinstance(name, str) or not name.strip() for name in wanted):
        raise FactsError(f"the relation was given as {relation!r}; expected one name or several, none empty")
    return wanted


def _named(rows: Sequence[RawFact], wanted: tuple[str, ...] | None, source: str) -> list[RawFact]:
    """Rows with a relation name each; a layout without relation names takes the one that was given."""
    if all(row.relation is not None for row in rows):
        return list(rows)
    if wanted is None or len(wanted) != 1:
        seen = "none was given" if wanted is None else f"{len(wanted)} were given ({listed(wanted)})"
        raise FactsError(
            f"{source} has entities and attributes but no relation, and as the relation's name {seen}; "
            'expected exactly one: give it, for instance relation="sport", or add a column relation'
        )
    return [row if row.relation is not None else replace(row, relation=wanted[0]) for row in rows]


def _with_template(rows: list[RawFact], wanted: tuple[str, ...] | None, template: str) -> list[RawFact]:
    """Rows of the one relation that the template is for; an unknown relation is left to `_picked`."""
    bases = list(dict.fromkeys(row.relation for row in rows if row.relation))
    chosen = bases if wanted is None else [base for base in bases if base in wanted]
    if len(chosen) > 1:
        raise FactsError(one_template(template, chosen))
    return [replace(row, template=template) for row in rows if not chosen or row.relation == chosen[0]]


def _groups(rows: Sequence[RawFact], source: str) -> list[_Group]:
    """Rows by relation, and within a relation by how it is asked."""
    bases: dict[str, list[RawFact]] = defaultdict(list)
    for row in rows:
        bases[row.relation or ""].append(row)
    groups: list[_Group] = []
    problems = []
    for base, members in bases.items():
        by_prompt = _by_prompt(base, members)
        templates = Counter(template for template, _ in by_prompt)
        problems += [
            f"relation {base!r} of {source} has {count} different prefixes for the template {template!r}; "
            'expected one: give one prefix, or prefix="" for none'
            for template, count in templates.items()
            if count > 1
        ]
        for (template, prefix), part in by_prompt.items():
            name = base if len(templates) == 1 else f"{base}: {template}"
            groups.append(_Group(name=name, base=base, template=template, prefix=prefix, rows=tuple(part)))
    if problems:
        raise FactsError(shortened(problems))
    return groups


def _by_prompt(base: str, members: Sequence[RawFact]) -> dict[tuple[str, str], list[RawFact]]:
    """Rows by (template, prefix); rows that say nothing take the relation's only one, or the default."""
    templates = {row.template for row in members if row.template}
    prefixes = {row.prefix for row in members if row.prefix is not None}
    template = templates.pop() if len(templates) == 1 else default_template(base)
    prefix = prefixes.pop() if len(prefixes) == 1 else ""
    asked: dict[tuple[str, str], list[RawFact]] = defaultdict(list)
    for row in members:
        asked[row.template or template, prefix if row.prefix is None else row.prefix].append(row)
    return asked


def _picked(
    groups: list[_Group], wanted: tuple[str, ...] | None, unusable: Sequence[RawFact], source: str
) -> list[_Group]:
    if wanted is None:
        return groups
    names = {group.name for group in groups} | {group.base for group in groups}
    problems = []
    for name in wanted:
        broken = [row for row in unusable if row.relation == name]
        if name not in names and broken:
            problems += _nothing(f"relation {name!r} of {source}", broken)
        elif name not in names:
            problems.append(unknown_relation(name, [group.name for group in groups], source))
    if problems:
        raise FactsError(problems)
    return [group for group in groups if group.name in wanted or group.base in wanted]


def _relations(groups: Sequence[_Group]) -> tuple[Relation, ...]:
    problems = [problem for group in groups for problem in relation_problems(group.name, group.template)]
    if problems:
        raise FactsError(shortened(problems))
    return tuple(Relation(name=group.name, template=group.template, prefix=group.prefix) for group in groups)


def _once(group: _Group) -> tuple[list[Fact], list[LeftOut]]:
    """Each entity once: the first of agreeing rows, none of conflicting ones."""
    attributes: dict[str, list[str]] = defaultdict(list)
    for row in group.rows:
        if row.attribute not in attributes[row.entity]:
            attributes[row.entity].append(row.attribute)
    facts: list[Fact] = []
    left_out: list[LeftOut] = []
    seen: set[str] = set()
    for row in group.rows:
        if len(attributes[row.entity]) > 1:
            reason = f"the entity has conflicting attributes: {listed(attributes[row.entity])}"
        elif row.entity in seen:
            reason = "the entity is listed again with the same attribute; it is kept once"
        else:
            seen.add(row.entity)
            facts.append(Fact(entity=row.entity, relation=group.name, attribute=row.attribute))
            continue
        left_out.append(LeftOut(entity=row.entity, relation=group.name, reason=f"{row.where}: {reason}"))
    return facts, left_out


def _nothing(source: str, unusable: Sequence[RawFact]) -> list[str]:
    if not unusable:
        return [f"{source} holds no rows; expected at least one fact below the column names"]
    reasons = shortened([f"{row.where}: {row.reason}" for row in unusable], 10)
    return [f"none of the {len(unusable)} rows of {source} is a usable fact; correct them:", *reasons]


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell and no tokenizer takes
        return False
    return True
