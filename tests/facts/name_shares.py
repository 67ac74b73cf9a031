"""How many names of the tables that the field uses have two parts: `PYTHONPATH=src:tests/facts python -m name_shares`.

A tokenizer of a folder with a tokenizer.json may be named as arguments, beside NeoX's and GPT-2's.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fact_tokenizers import SHARED, gpt2, neox
from transformers import PreTrainedTokenizerFast

from rote.facts import FactTable, read_facts
from rote.facts.parts import Cut, Stratum, cut_name
from rote.facts.spans import name_span, reading_starts, tokens_of
from rote.settings import Settings

TABLES = {
    "LRE, factual": SHARED / "lre_relations" / "data" / "factual",
    "known_1000": SHARED / "known_1000" / "known_1000.json",
    "CounterFact, validation": SHARED / "counterfact" / "counterfact-val.json",
}


@dataclass(kw_only=True)
class Shares:
    """Counts of facts by their name as it stands in their prompt.

    `no_span`: the name has no tokens of its own. `two_part`, `two_token`: of those of several tokens. `in_strata`: in
    strata large enough for a product within the relation of the source, were all of its facts known and asked alike.
    `n_able`: relations of which so many facts as a study needs lie in such strata, of `n_relations`.
    """

    facts: int = 0
    no_span: int = 0
    several: int = 0
    two_part: int = 0
    two_token: int = 0
    in_strata: int = 0
    n_able: int = 0
    n_relations: int = 0

    def of(self, count: int) -> float:
        """A share of the names of two tokens and more; one without tokens of its own counts as such a name."""
        return count / (self.several + self.no_span)

    def __str__(self) -> str:
        found = [f"{self.of(count):.1%}" for count in (self.two_token, self.two_part, self.in_strata)]
        found.append(f"{self.n_able} of {self.n_relations}")
        return " | ".join((f"{self.facts:,}", f"{self.several + self.no_span:,}", *found))


def parts(table: FactTable, tokenizer: Any) -> Iterator[tuple[str, tuple[int, ...], Cut | str]]:
    """Per fact the relation of the source, the name's tokens and where it is cut, or why it cannot be."""
    for fact in table.facts:
        asked = table.relation(fact.relation)
        start = asked.template.index("{}") + len(asked.prefix)
        text = asked.prompt(fact.entity)
        ids, offsets = tokens_of(tokenizer, text)
        first, last, problem = name_span(tokenizer, text, ids, offsets, start, start + len(fact.entity))
        own = slice(first, last + 1)
        cut = problem or cut_name(fact.entity, reading_starts(text, offsets[own], start))
        yield fact.relation.split(":")[0], tuple(ids[own]), cut


def shares(table: FactTable, tokenizer: Any) -> Shares:
    found, settings = Shares(), Settings()
    strata: dict[tuple[str, Stratum], list[tuple[tuple[int, ...], tuple[int, ...]]]] = defaultdict(list)
    relations: Counter[str] = Counter()
    for relation, name, cut in parts(table, tokenizer):
        found.facts += 1
        relations[relation] += 0
        if isinstance(cut, str):
            found.no_span += 1
        elif len(name) > 1:
            found.several += 1
            found.two_part += cut.tokens > 0
            found.two_token += len(name) == 2
            stratum = Stratum(cut.kind, cut.tokens, len(name) - cut.tokens)
            strata[relation, stratum].append((name[: cut.tokens], name[cut.tokens :]))
    for (relation, _), names in strata.items():
        fewest = min(len({name[side] for name in names}) for side in (0, 1))
        if len(names) >= settings.stratum_facts and fewest >= settings.stratum_parts:
            found.in_strata += len(names)
            relations[relation] += len(names)
    found.n_relations, found.n_able = len(relations), sum(n >= settings.min_known for n in relations.values())
    return found


def main(folders: list[str]) -> None:
    tokenizers = {"NeoX": neox(), "GPT-2": gpt2()}
    tokenizers |= {Path(f).name: PreTrainedTokenizerFast.from_pretrained(f) for f in folders}
    columns = ("table", "tokenizer", "facts", "names of two tokens and more", "exactly two tokens", "two parts",
               "in strata large enough", "relations with enough of them")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n| --- | --- {'| ---: ' * 6}|")
    for name, path in TABLES.items():
        table = read_facts(path)
        for tokenizer, made in tokenizers.items():
            print(f"| {name} | {tokenizer} | {shares(table, made)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
