"""The shapes of a card: posts and sources, statistics with units, published values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias

STACKS: tuple[str, ...] = ("model", "effective")
# small networks trained for one question, by `rote toy`; in the summary their stack is `model`
TOY = "toy"

# what an experiment is handed, and so which stages of a study go before it: facts as asked, the circuit that recalls
# the known ones, stacks (the effective model and every control), running text, prompts of its own, the model alone
FACTS, CIRCUIT, STACK, TEXT, TASK, MODEL = TAKES = ("facts", "circuit", "stack", "text", "task", "model")

UNITS: tuple[str, ...] = ("fraction", "nats", "logit", "count", "layer", "rank", "ratio", "SD", "bits")


Shown: TypeAlias = Literal["plain", "percent", "points"]


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
    """One statistic of the public format: its name, unit, meaning in words, and formula.

    Attributes:
        conditions: those under which it is given (`*` stands for any text); a row without one is always allowed.
        shown: how a reader reads a fraction: as it is, in percent, or (a difference of shares) in percentage points.
        titles: what it is called in a line-up, and what that measures, by condition ("" for none).
    """

    name: str
    unit: str
    meaning: str
    formula: str
    conditions: tuple[str, ...] = ()
    shown: Shown = "plain"
    titles: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def allows(self, condition: str | None) -> bool:
        """Whether a row may have this condition."""
        return condition is None or any(fnmatchcase(condition, allowed) for allowed in self.conditions)

    def title(self, condition: str | None = None) -> tuple[str, str]:
        """What it is called under a condition, and what that measures; its name where there are no words for it."""
        plain = (self.name.replace("_", " "), "")
        return self.titles.get(condition or "", self.titles.get("", plain))


def first_order_card(change: str) -> StatisticCard:
    """How well a sweep's first-order effects stand for its exact ones."""
    return StatisticCard(
        name="first_order_correlation",
        unit="ratio",
        conditions=("random", "top"),
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

    Attributes:
        takes: what it is handed, some of `TAKES`; the stages of a study follow from it. Toys take nothing.
        needs: what must be there beside that: "known_facts" (enough facts that the model knows), "two_part_names"
            (entities whose names have two parts), "lookup_window" (MLP layers found to look facts up),
            "several_relations" (several known facts about one entity).
        applies_to: the stacks that it has values of: "model" (full forward passes), "effective" (the distilled stack of
            MLPs), "toy" (networks that `rote toy` trains).
        source: the post, or in words where no post has it.
        seconds: what it takes on the bundled organism; it weighs what is left before anything of its kind was timed.
    """

    name: str
    title: str
    question: str
    method: str
    source: Source | str
    statistics: tuple[StatisticCard, ...]
    applies_to: tuple[str, ...] = ("model",)
    takes: tuple[str, ...] = ()
    published: tuple[PublishedValue, ...] = ()
    needs: tuple[str, ...] = ()
    seconds: float = 1.0

    @property
    def needs_facts(self) -> bool:
        """Whether it asks a table of facts."""
        return bool({FACTS, CIRCUIT, STACK} & set(self.takes))

    @property
    def needs_circuit(self) -> bool:
        """Whether the circuit of the facts known is searched for it first."""
        return bool({CIRCUIT, STACK} & set(self.takes))

    def statistic(self, name: str) -> StatisticCard:
        """The card of one statistic; KeyError with the names there are."""
        for found in self.statistics:
            if found.name == name:
                return found
        raise KeyError(f"{self.name} has no statistic {name!r}; it has {', '.join(s.name for s in self.statistics)}")


def card_from(told: Mapping[str, Any]) -> ExperimentCard:
    """A card as `dataclasses.asdict` and JSON have told it; published values, which speak of a post, are left out."""
    statistics = tuple(
        StatisticCard(
            **{
                **statistic,
                "conditions": tuple(statistic["conditions"]),
                "titles": {name: (title, detail) for name, (title, detail) in statistic["titles"].items()},
            }
        )
        for statistic in told["statistics"]
    )
    source = told["source"] if isinstance(told["source"], str) else Source(**told["source"])
    tuples = {name: tuple(told[name]) for name in ("applies_to", "takes", "needs")}
    return ExperimentCard(**{**told, **tuples, "source": source, "statistics": statistics, "published": ()})
