"""How a relation's question is worded: examples before it, and the tokenizer's chat around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rote.errors import FactsError
from rote.facts.joint import with_joint
from rote.facts.table import SLOT, Fact, FactTable, LeftOut, Relation, cut

LEAST_LEFT = 2  # facts beside the examples
AN_EXAMPLE = "an example before the question"
_PROBE = "Ada Moss"  # put into a chat's question, to see that the chat leaves it as it is
_CLOSING = {"“": "”", "„": "“", "«": "»", "‹": "›", "「": "」", "『": "』", "(": ")", "[": "]", "{": "}"}
_SAME = "\"'`"  # signs that open and close


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Puts facts as examples before a relation's question, and both into the tokenizer's chat where that is wanted.

    Without a chat an example is the template with its entity, the joint, the answer and a line break (an empty line
    where the template itself has several lines), behind the relation's own prefix. In a chat it is an earlier turn of
    the user and one of the assistant.
    """

    tokenizer: Any
    blank: str = "auto"
    chat: bool = False

    def of(self, relation: Relation, examples: Sequence[Fact] = ()) -> Relation:
        """The relation as it is asked; FactsError where it cannot be worded so."""
        if not examples and not self.chat:
            return relation
        self._refuse_marks(relation)
        return self._in_chat(relation, examples) if self.chat else self._in_front(relation, examples)

    def _in_front(self, relation: Relation, examples: Sequence[Fact]) -> Relation:
        gap = "\n\n" if "\n" in relation.template.rstrip("\n") or relation.template.endswith("\n") else "\n"
        return replace(relation, prefix=relation.prefix + "".join(self.example(relation, f) + gap for f in examples))

    def example(self, relation: Relation, fact: Fact) -> str:
        """The question about a fact's entity with its answer; an open quotation mark or bracket is closed."""
        question = relation.template.replace(SLOT, fact.entity)
        text, joint = with_joint(question, fact.attribute, self.blank)
        return text + joint + fact.attribute + _closing(relation.template, text)

    def _in_chat(self, relation: Relation, examples: Sequence[Fact]) -> Relation:
        turns = [(relation.template.replace(SLOT, fact.entity), fact.attribute) for fact in examples]
        question = relation.template.strip()
        text = self._rendered(relation, turns, question)
        start = text.rfind(question)
        if start < 0 or text[start:].count(SLOT) != 1:
            raise FactsError(_altered(relation))
        asked = replace(relation, prefix=text[:start], template=text[start:])
        probe = self._rendered(relation, turns, question.replace(SLOT, _PROBE))
        if asked.prompt(_PROBE) != probe:
            raise FactsError(_altered(relation))
        return asked

    def _rendered(self, relation: Relation, turns: Sequence[tuple[str, str]], question: str) -> str:
        """The text of a conversation up to the answer; the relation's prefix stands in front of its first turn."""
        messages: list[dict[str, str]] = []
        for asked, answer in turns:
            messages += [{"role": "user", "content": asked.strip()}, {"role": "assistant", "content": answer}]
        messages.append({"role": "user", "content": question})
        messages[0]["content"] = relation.prefix + messages[0]["content"]
        if not getattr(self.tokenizer, "chat_template", None):
            raise FactsError(
                "the tokenizer has no chat template; expected one, since the question was to be put as a chat: use an "
                "instruct model with its own tokenizer, or ask without --chat (Settings.chat)"
            )
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # whatever a template of somebody else's may raise
            raise FactsError(
                f"the tokenizer's chat template cannot put relation {cut(relation.name)!r} ({cut(str(error))}); "
                "expected one for turns of a user and an assistant: ask without --chat (Settings.chat)"
            ) from error
        return str(text)

    def _refuse_marks(self, relation: Relation) -> None:
        """A text that itself holds the marks of a chat leaves no place for turns or examples before it."""
        bos = getattr(self.tokenizer, "bos_token", None) or ""
        text = (relation.prefix or "").removeprefix(bos) + relation.template
        found = [mark for mark in getattr(self.tokenizer, "all_special_tokens", ()) if mark in text]
        if found:
            raise FactsError(
                f"the prefix or template of relation {cut(relation.name)!r} holds {found[0]!r}, a mark of the "
                "tokenizer, so that no examples (--shots) or turns (--chat) can be put around it; expected a plain "
                "question: give the question alone, and --chat"
            )


def without_examples(table: FactTable, relation: Relation, examples: Sequence[Fact]) -> FactTable:
    """One relation of a table as it is worded; the examples are left out, with that reason."""
    taken = {fact.entity for fact in examples}
    left_out = [left for left in table.left_out if left.relation in (relation.name, "")]
    left_out += [LeftOut(entity=fact.entity, relation=relation.name, reason=AN_EXAMPLE) for fact in examples]
    return replace(
        table,
        relations=(relation,),
        facts=tuple(fact for fact in table.of(relation.name) if fact.entity not in taken),
        left_out=tuple(left_out),
    )


def shots_problem(relation: str, n_facts: int, n_shots: int, least: int) -> str:
    """The sentence about examples that leave fewer than `least` facts, or ""."""
    if n_facts - n_shots >= least:
        return ""
    return (
        f"relation {cut(relation)!r} has {n_facts:,} facts that can be asked, and {n_shots:,} of them as examples "
        f"would leave {max(n_facts - n_shots, 0):,}; expected at least {least:,}: ask with fewer --shots "
        "(Settings.shots), or add facts"
    )


def _closing(template: str, text: str) -> str:
    """What closes the quotation mark or bracket with which a question ends, or ""."""
    last = text[-1:]
    if last in _SAME and last:
        return last if template.count(last) % 2 else ""
    return _CLOSING.get(last, "")


def _altered(relation: Relation) -> str:
    return (
        f"the tokenizer's chat template changes the question of relation {cut(relation.name)!r}; expected it to stand "
        "in the chat as it is: reword the template, or ask without --chat (Settings.chat)"
    )
