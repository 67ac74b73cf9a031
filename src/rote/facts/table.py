"""A table of facts: relations with their prompts, facts, and what was left out with its reason."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from rote.errors import FactsError
from rote.facts.text import text_problem

SLOT = "{}"
BREAKS = "\n\t"  # a template or a prefix may run over several lines
MOST_PROMPT_CHARACTERS = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One fact: (entity, relation, attribute), for instance ("Michael Jordan", "sport", "basketball").

    `aliases` are other answers that are right as well. `cut`: the name's first part is its first so many characters;
    None leaves it to the setting `split`. `where` is its row in the source, for messages alone: equal
    facts may stand in different rows.
    """

    entity: str
    relation: str
    attribute: str
    aliases: tuple[str, ...] = ()
    cut: int | None = None
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Relation:
    """How a relation is asked: prompt = prefix + template with the entity in the place of its one `{}`.

    Attributes:
        name: the relation's name, as in `Fact.relation`.
        template: the question, with exactly one `{}`; `FactsError` otherwise.
        prefix: one-shot prefix put before the template, or "" for none. It is never formatted.
    """

    name: str
    template: str
    prefix: str = ""

    def __post_init__(self) -> None:
        problems = relation_problems(self.name, self.template)
        problems += prefix_problems(self.prefix, f"of relation {cut(self.name)!r}")
        if problems:
            raise FactsError(problems)

    def prompt(self, entity: str) -> str:
        """The text that asks about `entity`, without bos."""
        return self.prefix + self.template.replace(SLOT, entity)


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A fact that is not used, with the reason; an empty entity stays "" here.

    `gap` marks an empty cell of a table with one column per relation: the source says nothing there.
    """

    entity: str
    relation: str
    reason: str
    gap: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, repr=False)
class FactTable:
    """Facts of one or more relations, each entity at most once per relation.

    Attributes:
        name: built-in name or file stem; not part of `hash`.
        relations: in the source's order.
        facts: in the source's order.
        left_out: rows of the source that are no usable fact, with reasons; not part of `hash`.
        fiction: entities that the source marks as invented; not part of `hash`.

    Raises `FactsError` where facts and relations do not fit together.
    """

    name: str
    relations: tuple[Relation, ...]
    facts: tuple[Fact, ...]
    left_out: tuple[LeftOut, ...] = ()
    fiction: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = table_problems(self.relations, self.facts)
        if problems:
            raise FactsError(shortened(problems))

    def __repr__(self) -> str:
        counts = Counter(fact.relation for fact in self.facts)
        asked = ", ".join(f"{r.name}: {counts[r.name]}" for r in self.relations[:8])
        more = f" and {len(self.relations) - 8} more relations" if len(self.relations) > 8 else ""
        return (
            f"FactTable({self.name!r}: {len(self.facts)} facts about {len(self.entities)} entities; "
            f"{asked}{more}; {len(self.left_out)} left out)"
        )

    @cached_property
    def hash(self) -> str:
        """sha256 of relations and facts, in order, as ASCII JSON: equal hashes ask the same prompts."""
        content = {
            "relations": [[r.name, r.template, r.prefix] for r in self.relations],
            "facts": [
                [f.entity, f.relation, f.attribute, *([f.aliases] if f.aliases else []), *_given(f.cut)]
                for f in self.facts
            ],
        }
        return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode("ascii")).hexdigest()

    @cached_property
    def entities(self) -> tuple[str, ...]:
        """Every entity once, in order of first appearance."""
        return tuple(dict.fromkeys(fact.entity for fact in self.facts))

    def relation(self, name: str) -> Relation:
        """The relation of that name; `FactsError` naming those that exist otherwise."""
        for relation in self.relations:
            if relation.name == name:
                return relation
        raise FactsError(unknown_relation(name, [r.name for r in self.relations], self.name))

    def of(self, relation: str) -> tuple[Fact, ...]:
        """The facts of one relation, in the table's order; `FactsError` where it is none of the table's."""
        name = self.relation(relation).name
        return tuple(fact for fact in self.facts if fact.relation == name)

    def select(self, relations: str | Sequence[str]) -> FactTable:
        """The table with these relations only; `FactsError` naming those that exist otherwise."""
        wanted = (relations,) if isinstance(relations, str) else tuple(relations)
        known = [r.name for r in self.relations]
        problems = [unknown_relation(name, known, self.name) for name in wanted if name not in known]
        if not wanted:
            problems.append(f"no relation was selected; expected at least one of {listed(known)}")
        if problems:
            raise FactsError(problems)
        facts = tuple(fact for fact in self.facts if fact.relation in wanted)
        kept = {fact.entity for fact in facts}
        return replace(
            self,
            relations=tuple(r for r in self.relations if r.name in wanted),
            facts=facts,
            left_out=tuple(left for left in self.left_out if left.relation in (*wanted, "")),
            fiction=tuple(name for name in self.fiction if name in kept),
        )

    def with_prompts(self, template: str | None = None, prefix: str | None = None) -> FactTable:
        """The same facts asked differently; None keeps what is there, prefix="" takes the prefix away.

        A template asks one question, so `FactsError` when the table has several relations.
        """
        if template is not None and len(self.relations) > 1:
            raise FactsError(one_template(template, [r.name for r in self.relations]))
        relations = tuple(
            Relation(
                name=r.name,
                template=r.template if template is None else template,
                prefix=r.prefix if prefix is None else prefix,
            )
            for r in self.relations
        )
        return replace(self, relations=relations)


def _given(cut: int | None) -> list[int]:
    return [] if cut is None else [cut]


def relation_problems(name: str, template: str) -> list[str]:
    """Sentences about a relation that cannot be asked; empty when it can."""
    problems = []
    if not name.strip():
        problems.append(f"a relation with the template {template!r} has no name; give it one")
    elif problem := text_problem(name):
        problems.append(f"the relation's name {cut(name)!r} {problem}; give it a name that can be read")
    return problems + template_problems(template, f"of relation {cut(name)!r}")


def template_problems(template: str, whose: str) -> list[str]:
    """The sentence about a template without exactly one slot; empty when it has it."""
    problem = text_problem(template, allowed=BREAKS, most=MOST_PROMPT_CHARACTERS)
    problems = [f"the template {cut(template)!r} {whose} {problem}; take it out"] if problem else []
    slots = template.count(SLOT)
    if slots != 1:
        seen = "no {}" if slots == 0 else f"{slots} times {{}}"
        problems.append(
            f"the template {cut(template)!r} {whose} has {seen}; expected exactly one {{}}: "
            "put it where the entity's name goes"
        )
    return problems


def prefix_problems(prefix: str, whose: str) -> list[str]:
    """The sentence about a prefix that cannot stand before a template; empty when it can."""
    problem = text_problem(prefix, allowed=BREAKS, most=MOST_PROMPT_CHARACTERS)
    return [f"the prefix {cut(prefix)!r} {whose} {problem}; take it out"] if problem else []


def table_problems(relations: Sequence[Relation], facts: Sequence[Fact]) -> list[str]:
    """Sentences about facts and relations that do not fit together; empty when they do."""
    names = [relation.name for relation in relations]
    problems = [
        f"relation {name!r} is described {count} times; expected once, give the others other names"
        for name, count in Counter(names).items()
        if count > 1
    ]
    missing = Counter(fact.relation for fact in facts if fact.relation not in set(names))
    problems += [
        f"{count} facts have the relation {name!r}, which is not described; described are {listed(names)}"
        for name, count in missing.items()
    ]
    twice = Counter((fact.entity, fact.relation) for fact in facts)
    problems += [
        f"entity {entity!r} stands {count} times in relation {relation!r}; expected once"
        for (entity, relation), count in twice.items()
        if count > 1
    ]
    return problems


def unknown_relation(name: str, known: Sequence[str], source: str) -> str:
    """The sentence for a relation that a table does not have; those that begin alike come first."""
    near = sorted(known, key=lambda other: not other.startswith(name))
    return f"{source} has no relation {name!r}; its relations are {listed(near)}"


def one_template(template: str, names: Sequence[str]) -> str:
    """The sentence for one template given to several relations."""
    return (
        f"the template {template!r} was given for {len(names)} relations ({listed(names)}); "
        "one template asks one question: select one relation with it"
    )


def cut(text: str, most: int = 200) -> str:
    """A text for an error message, its beginning where it is long."""
    return text if len(text) <= most else text[:most] + "…"


def listed(names: Iterable[str], limit: int = 20) -> str:
    """Names for an error message, the first `limit` of them."""
    every = [repr(cut(name)) for name in names]
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more if every else "none"


def shortened(problems: Sequence[str], limit: int = 20) -> list[str]:
    """The first `limit` problems and a sentence that counts the rest."""
    rest = len(problems) - limit
    return [*problems[:limit], *([f"and {rest} more problems of this kind"] if rest > 0 else [])]
