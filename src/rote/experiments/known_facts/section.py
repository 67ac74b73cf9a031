"""Which facts are known: probabilities by class, and what tokens alone would give."""

from __future__ import annotations

import pandas as pd

from rote.experiments.known_facts.card import CARD
from rote.facts.table import listed
from rote.page.document import Axis, Column, Figure, Guide, Series, StripChart, Table
from rote.page.here import Blocks, Here, section_of
from rote.page.lines import CLASS, By, lines
from rote.page.shapes import pivot

_MAX_POINTS = 3000
_MAX_GROUPS = 20
_KNOWLEDGE = {
    "n_facts": "facts asked",
    "n_known": "facts known",
    "n_known_probability": "of likely answers",
    "n_known_top1": "right among all tokens",
    "n_known_among_answers": "right among the answers",
    "accuracy": "right among all tokens",
    "accuracy_cls": "right among the classes",
    "loss_nats": "loss",
}
_BASELINES = {
    "baseline_majority": "always the commonest class",
    "baseline_last": "from the last part",
    "baseline_first": "from the first part",
    "baseline_additive_fit": "linear fit on both parts (in-sample)",
}
_SHARED = {
    "shared_first": "share their first part",
    "shared_last": "share their last part",
    "shared_both": "share both parts",
}
_ANSWERS = {
    "n_answers": "different answers",
    "n_circuit_classes": "told apart by their class token, as the circuit does",
}
_TABLES = {
    "What the model knows": _KNOWLEDGE,
    "What the parts of a name give away without any look-up, leave-one-out": _BASELINES,
    "Entities whose parts occur in other entities": _SHARED,
}
_NAMES = By(
    of="condition",
    words={
        "all": "all names",
        "two_token": "two-token names",
        "two_part": "names with two parts",
        "all_over_tokens": "all names, by first and last token",
        "two_part_over_tokens": "names with two parts, by first and last token",
    },
)
_BY_LENGTH = {"n_known": "facts known", "accuracy": "right among all tokens"}


@section_of(CARD)
def blocks(here: Here) -> Blocks:
    yield _strips(here)
    yield _shared_tokens(here)
    yield pivot("Answers", lines(here.rows(*_ANSWERS), _NAMES), By(of="statistic", words=_ANSWERS))
    for caption, words in _TABLES.items():
        rows = (r for r in here.rows(*words, cls=None) if not r.parameters)
        yield pivot(caption, lines(rows, _NAMES), By(of="statistic", words=words))
    for unit in ("words", "tokens"):
        rows = (r for r in here.rows(*_BY_LENGTH) if unit in r.parameters)
        columns = lines(rows, By(of="statistic", words=_BY_LENGTH))
        yield pivot(f"By {unit} in the name", columns, By(of=unit, title=unit))
    of_classes = (r for r in here.rows("loss_nats") if r.cls is not None)
    yield pivot("Loss, class by class", lines(of_classes, _NAMES), CLASS)


def _shared_tokens(here: Here) -> Table | None:
    """The answers that are one class in the circuit."""
    answers = here.view.table(CARD.name, "answers")
    if answers is None:
        return None
    answers = answers if here.relation is None else answers[answers["relation"] == here.relation]
    groups = [(token, some) for (_, token), some in answers.groupby(["relation", "class_token"]) if len(some) > 1]
    groups.sort(key=lambda group: -int(group[1]["n_facts"].sum()))
    if not groups:
        return None
    more = f"; {len(groups):,} such groups, the largest {_MAX_GROUPS}" if len(groups) > _MAX_GROUPS else ""
    return Table(
        caption=f"Answers that share their first token, one class to the circuit{more}",
        columns=(Column(title="token"), Column(title="answers"), Column(title="facts", numeric=True)),
        rows=tuple(
            (repr(token), listed(some["cls"], 8), f"{int(some['n_facts'].sum()):,}")
            for token, some in groups[:_MAX_GROUPS]
        ),
    )


def _strips(here: Here) -> Figure | None:
    facts = here.view.table(CARD.name, "facts")
    if facts is None:
        return None
    if here.relation is not None:
        facts = facts[facts["relation"] == here.relation]
    elif len(here.view.relations(CARD.name)) > 1:
        return None  # the parts of the single relations show every fact once
    if facts.empty:
        return None
    total = len(facts)
    facts = facts.sort_values("prob", kind="stable")
    if total > _MAX_POINTS:
        facts = facts.iloc[[round(i * (total - 1) / (_MAX_POINTS - 1)) for i in range(_MAX_POINTS)]]
    classes = tuple(facts["cls"].astype(str).value_counts().index)
    points = tuple(
        _points(facts[facts["known"].astype(bool) == known], classes, known=known) for known in (True, False)
    )
    drawn = "each fact one point" if total <= _MAX_POINTS else f"{_MAX_POINTS:,} of {total:,} facts, evenly by rank"
    chart = StripChart(
        title="",
        categories=classes,
        x=Axis(title="probability of the correct attribute", low=-0.02, high=1.02),
        points=tuple(p for p in points if p.y),
        guides=(Guide(value=0.5, label="known above ½"),),
    )
    n_known = int(facts["known"].astype(bool).sum())
    alt = f"Points for {n_known:,} known and {len(facts) - n_known:,} other facts."
    return Figure(caption=f"Probability of the correct attribute by class, {drawn}.", alt=alt, charts=(chart,))


def _points(facts: pd.DataFrame, classes: tuple[str, ...], *, known: bool) -> Series:
    return Series(
        name="known" if known else "not known",
        x=tuple(float(p) for p in facts["prob"]),
        y=tuple(float(classes.index(str(c))) for c in facts["cls"]),
        hover=tuple(
            (str(entity), f"correct: {attribute}", f"p = {prob:.3g}, rank {rank}")
            for entity, attribute, prob, rank in zip(
                facts["entity"], facts["attribute"], facts["prob"], facts["rank"], strict=True
            )
        ),
        color=0 if known else 1,
        joined=False,
    )
