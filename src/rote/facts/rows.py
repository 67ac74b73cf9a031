"""From the rows that a reader finds to a table of facts: one set of rules for every file layout."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real

from rote.errors import FactsError
from rote.facts.intake import MAX_FACTS, Intake, RawFact, take_in
from rote.facts.table import (
    Fact,
    FactTable,
    LeftOut,
    Relation,
    listed,
    one_template,
    prefix_problems,
    relation_problems,
    shortened,
    unknown_relation,
)
from rote.facts.tally import Tally
from rote.facts.text import composed, text_problem

DEFAULT_TEMPLATE = "Fact: The {relation} of {{}} is"


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
        problem = text_problem(text)
        return ("", f"the {what} {problem}") if problem else (text, "")
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
    rows: Iterable[RawFact],
    *,
    relation: str | Sequence[str] | None = None,
    template: str | None = None,
    prefix: str | None = None,
    leave_out: bool = True,
    max_facts: int = MAX_FACTS,
    source: str | None = None,
) -> FactTable:
    """The table made of raw rows; every rule about relations, templates and duplicates lives here.

    - Rows of one relation with different templates become one relation per template, named
      `relation: template`; selecting `relation` takes them all.
    - An entity that stands twice in a relation is kept once when its attributes agree, not at all when
      they conflict; either way the others are in `left_out`. So are two entities whose names differ in nothing
      but Unicode's ways of writing them.
    - A cut that one row gives of an entity holds for all of its rows; where two differ none of them is kept.
    - Without `leave_out` a row that is no fact is a problem; empty cells of a wide table are none.
    - `source` is what messages call the table instead of `name`.

    Errors: `FactsError` with every problem found.
    """
    wanted = _wanted(relation)
    source = source or name
    intake = take_in(rows, source, max_facts)
    problems = list(intake.problems)
    if not problems and not intake.n_usable:
        problems = intake.nothing(source)
    groups: list[_Group] = []
    if intake.usable:
        try:
            groups = _asked(source, intake, wanted, template, prefix)
        except FactsError as error:
            problems += error.problems
    facts, doubled = _facts(groups)
    if not leave_out:
        problems += _refused(source, intake, doubled)
    if problems:
        raise FactsError(problems)
    return FactTable(
        name=name,
        relations=_relations(groups),
        facts=tuple(facts),
        left_out=(*_left_out(intake.unusable, groups, wanted), *(row.left_out() for row in doubled)),
        fiction=_fiction(intake.usable, facts),
    )


def _asked(
    name: str, intake: Intake, wanted: tuple[str, ...] | None, template: str | None, prefix: str | None
) -> list[_Group]:
    """The usable rows by relation and prompt; `FactsError` where that is not clear."""
    rows = _named(intake.usable, wanted, name)
    intake.unusable = _named(intake.unusable, wanted, name)
    if template is not None:
        rows = _with_template(rows, wanted, template)
    if prefix is not None:
        rows = [replace(row, prefix=prefix) for row in rows]
    groups = _picked(_groups(rows, name), wanted, intake.unusable, name)
    _relations(groups)
    return groups


def _facts(groups: Sequence[_Group]) -> tuple[list[Fact], list[_Doubled]]:
    """Facts, and the rows that repeat or contradict others."""
    facts: list[Fact] = []
    doubled: list[_Doubled] = []
    cuts: dict[str, dict[int, None]] = defaultdict(dict)  # a name is cut in one place, whatever is asked of it
    for row in (row for group in groups for row in group.rows):
        if row.cut is not None:
            cuts[row.entity][row.cut] = None
    for group in groups:
        kept, others = _once(group, cuts)
        facts += kept
        doubled += others
    return facts, doubled


def _left_out(
    unusable: Iterable[RawFact], groups: Iterable[_Group], wanted: tuple[str, ...] | None
) -> Iterable[LeftOut]:
    """Rows that are no facts, of the relations that were asked for."""
    bases = {group.base for group in groups}
    for row in unusable:
        if wanted is None or not row.relation or row.relation in bases:
            reason = f"{row.where}: {row.reason}"
            yield LeftOut(entity=row.entity, relation=row.relation or "", reason=reason, gap=row.gap)


def _fiction(usable: Iterable[RawFact], facts: Iterable[Fact]) -> tuple[str, ...]:
    entities = {fact.entity for fact in facts}
    return tuple(dict.fromkeys(row.entity for row in usable if row.fiction and row.entity in entities))


def _refused(source: str, intake: Intake, doubled: Sequence[_Doubled]) -> list[str]:
    """What is wrong with single rows, and what to do about them."""
    repeated = Tally()
    for row in doubled:
        repeated.add(row.where, row.reason)
    n = intake.tally.count + repeated.count
    if not n or not intake.n_usable:
        return []
    rows = "row is no fact" if intake.n_rows == 1 else "rows are no facts"
    return [
        *(f"{source}, {line}" for line in (*intake.tally.lines(), *repeated.lines())),
        f"{n:,} of {intake.n_rows:,} {rows} in {source}: correct or take out what is named above, or study the others "
        "with --leave-out (leave_out=True)",
    ]


@dataclass(frozen=True, kw_only=True)
class _Doubled:
    """A usable row that repeats or contradicts another."""

    entity: str
    relation: str
    where: str
    reason: str

    def left_out(self) -> LeftOut:
        return LeftOut(entity=self.entity, relation=self.relation, reason=f"{self.where}: {self.reason}")


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
            problems += take_in(broken, source).nothing(f"relation {name!r} of {source}")
        elif name not in names:
            problems.append(unknown_relation(name, [group.name for group in groups], source))
    if problems:
        raise FactsError(problems)
    return [group for group in groups if group.name in wanted or group.base in wanted]


def _relations(groups: Sequence[_Group]) -> tuple[Relation, ...]:
    problems = []
    for group in groups:
        problems += relation_problems(group.name, group.template)
        problems += prefix_problems(group.prefix, f"of relation {group.name!r}")
    if problems:
        raise FactsError(shortened(problems))
    return tuple(Relation(name=group.name, template=group.template, prefix=group.prefix) for group in groups)


def _once(group: _Group, cuts: Mapping[str, Iterable[int]]) -> tuple[list[Fact], list[_Doubled]]:
    """Each entity once: the first of agreeing rows, none of conflicting ones. `cuts` are those given of each entity."""
    attributes: dict[str, dict[str, None]] = defaultdict(dict)
    spelt: dict[tuple[str, str], tuple[str, str]] = {}  # per composed text, its first spelling and where that stands
    for row in group.rows:
        attributes[row.entity][row.attribute] = None
        for what, text in (("entity", row.entity), ("attribute", row.attribute)):
            if not text.isascii():
                spelt.setdefault((what, composed(text)), (text, row.where))
    facts: list[Fact] = []
    doubled: list[_Doubled] = []
    seen: set[str] = set()
    for row in group.rows:
        own = list(cuts.get(row.entity, ()))
        reason = _doubled(row, list(attributes[row.entity]), spelt, seen) or _cuts_conflict(own)
        if reason:
            doubled.append(_Doubled(entity=row.entity, relation=group.name, where=row.where, reason=reason))
        else:
            seen.add(row.entity)
            asked = {"entity": row.entity, "relation": group.name, "attribute": row.attribute}
            facts.append(Fact(**asked, aliases=row.aliases, cut=own[0] if own else None, where=row.where))
    return facts, doubled


def _cuts_conflict(cuts: Sequence[int]) -> str:
    if len(cuts) < 2:
        return ""
    return f"the entity has conflicting cuts: {', '.join(map(str, cuts))}; a name is cut in one place"


def _doubled(
    row: RawFact, attributes: Sequence[str], spelt: Mapping[tuple[str, str], tuple[str, str]], seen: set[str]
) -> str:
    """Why a row is not kept beside the others, or ""."""
    if len(attributes) > 1:
        return f"the entity has conflicting attributes: {listed(attributes)}"
    for what, text in (("entity", row.entity), ("attribute", row.attribute)):
        first, where = spelt.get((what, composed(text)), (text, ""))
        if first != text:
            return (
                f"the {what} {text!a} looks like {first!a} in {where} but is spelt with other characters "
                "(nothing is normalised)"
            )
    if row.entity in seen:
        return "the entity is listed again with the same attribute; it is kept once"
    return ""
