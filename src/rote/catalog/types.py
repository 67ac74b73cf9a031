"""The shapes of a card: posts and sources, statistics with units, published values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STACKS: tuple[str, ...] = ("model", "effective")
# small networks trained for one question, by `rote toy`; in the summary their stack is `model`
TOY = "toy"

UNITS: tuple[str, ...] = ("fraction", "nats", "logit", "count", "layer", "rank", "ratio", "SD", "bits")


@dataclass(frozen=True, kw_only=True)
class Post:
    """One post of the Fact Finding study."""

    number: int
    title: str


POSTS: tuple[Post, ...] = (
    Post(
        number=1,
        title="Fact Finding: Attempting to Reverse-Engineer Factual Recall on the Neuron Level (Post 1)",
    ),
    Post(number=2, title="Fact Finding: Simplifying the Circuit (Post 2)"),
    Post(number=3, title="Fact Finding: Trying to Mechanistically Understanding Early MLPs (Post 3)"),
    Post(number=4, title="Fact Finding: How to Think About Interpreting Memorisation (Post 4)"),
    Post(number=5, title="Fact Finding: Do Early Layers Specialise in Local Processing? (Post 5)"),
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the study treats a thing: the post's number and what that part of it is about."""

    post: int
    section: str

    def __str__(self) -> str:
        return f"Fact Finding, post {self.post} ({self.section})"


@dataclass(frozen=True, kw_only=True)
class StatisticCard:
    """One statistic of the public format: its name, unit, meaning in words, and formula."""

    name: str
    unit: str
    meaning: str
    formula: str


def first_order_card(change: str) -> StatisticCard:
    """How well a sweep's first-order effects stand for its exact ones."""
    return StatisticCard(
        name="first_order_correlation",
        unit="ratio",
        meaning=f"How well gradient × change stands for the exact effect of {change}. random: of some drawn at random; "
        "top: of those with the largest first-order effects.",
        formula="Pearson correlation over facts and the chosen ones of gradient × change and the exact effect",
    )


@dataclass(frozen=True, kw_only=True)
class PublishedValue:
    """A value that the study gives for Pythia-2.8B: shown beside a measured one, never used in a computation.

    Either `value` or the range `low`..`high` is set, or neither where the study says it in words only.
    `condition`, `site`, `source_node`, `layer`, `head` and `parameters` select the measured row to set beside it.
    """

    statistic: str
    text: str
    source: Source
    value: float | None = None
    low: float | None = None
    high: float | None = None
    condition: str | None = None
    site: str | None = None
    source_node: str | None = None
    layer: int | None = None
    head: int | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ExperimentCard:
    """One experiment: its question, its method in two sentences, its statistics and its source.

    `applies_to` names the stacks it runs on ("model": full forward passes, "effective": the distilled
    stack of MLPs; "toy": neither, but networks that `rote toy` trains). `needs` says what must exist first:
    "two_token_names" (entities of exactly two tokens), "known_facts" (enough facts that the model knows),
    "lookup_window" (MLP layers found to look facts up), "several_relations" (several known facts about one entity),
    "text" (running text, in the place of facts), "organisms" (nothing: it trains the models that it studies). The
    source of an experiment that no post has is said in words.
    """

    name: str
    title: str
    question: str
    method: str
    source: Source | str
    statistics: tuple[StatisticCard, ...]
    applies_to: tuple[str, ...]
    published: tuple[PublishedValue, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def needs_facts(self) -> bool:
        """Whether it asks a table of facts; what reads a text or trains its own models does not."""
        return not {"text", "organisms"} & set(self.needs) and self.applies_to != (TOY,)

    def statistic(self, name: str) -> StatisticCard:
        """The card of one statistic; KeyError with the names there are."""
        for found in self.statistics:
            if found.name == name:
                return found
        raise KeyError(f"{self.name} has no statistic {name!r}; it has {', '.join(s.name for s in self.statistics)}")
