"""The catalog as Markdown: the text of docs/experiments.md."""

from __future__ import annotations

import sys
from pathlib import Path

from rote.catalog.controls import CONTROLS, ControlCard
from rote.catalog.hypotheses import HYPOTHESES, Hypothesis, Prediction, predictions
from rote.catalog.types import POSTS, TEXT, TOY, ExperimentCard, PublishedValue
from rote.experiments import ENTRIES
from rote.toys import TOYS

_HEAD = """# The experiments

<!-- Generated from the cards by `python -m rote.report.reference docs/experiments.md`. -->

Each experiment with its question, its method, the statistics it reports and where it comes from. The method
is that of the *Fact Finding* study of how Pythia-2.8B recalls which sport an athlete plays (Neel Nanda,
Senthooran Rajamanoharan, János Kramár, Rohin Shah; December 2023), written down for any causal language
model and any table of facts. The words in brackets after a post's number say what that part of the post is
about. Published values are for Pythia-2.8B: the report shows them beside measured ones when those weights
are studied, and no computation uses them.

`model` means full forward passes, `effective` the small model distilled from the circuit. Every choice is
made on one half of the entities and every value is reported on the other. Intervals are 95 % percentile
intervals.
"""

_HYPOTHESES = """## Hypotheses

Each hypothesis is judged by where the effective model stands among controls whose mechanism is known. A control
stands for its next member: mean ± t·s·√(1 + 1/k), k members with variance s². A control that misses the
effective model's accuracy or the size of its outputs is drawn as *unmatched* and is no reference.

A test is decisive only if every interval of a control with the property is disjoint from every interval of one
without it: **a test that cannot tell its own controls apart decides nothing, and says so.** It must also have
been certified on planted worlds that no line-up was built from (docs/calibration.md). There it is also tuned how far
a control *reaches* beyond its interval into the gap between the two sides; to meet it is to meet what it reaches. Then:

| verdict | the effective model's interval |
|---|---|
| consistent | meets a control with the property and none without it |
| inconsistent | meets a control without the property and none with it |
| in between | meets both kinds, or neither while it lies between the outermost of them |
| unlike all controls | lies outside all of them |
| not decisive | whatever it is: the controls overlap, are missing or unmatched, or the test is not certified |
| not applicable | does not exist, with its reason |

t = (model − nearest without) / (nearest with − nearest without), nearest by the mean. A hypothesis *survives* with
a consistent test and no inconsistent one, is *contradicted* in the converse case, *disputed* with both, else
*undecided*. Nothing is pooled into a score.
"""

_NEEDS = {
    "known_facts": "enough facts that the model knows",
    "two_part_names": "entities whose names have two parts",
    "lookup_window": "a window of MLP layers that looks facts up",
    "several_relations": "several known facts about one entity",
}


def render_markdown() -> str:
    """docs/experiments.md: every card in study order, the hypotheses, then the posts."""
    cards = (*(e.card for e in ENTRIES), *(card for toy in TOYS for card in toy.cards))
    contents = "\n".join(f"- [`{c.name}`](#{c.name}): {c.title}" for c in cards)
    contents += "\n- [Hypotheses](#hypotheses): what each predicts, and how it is judged"
    posts = "\n".join(f"{p.number}. {p.title}" for p in POSTS)
    return "\n".join([_HEAD, contents, "", *map(_render_card, cards), *_judged(), "## The posts", "", posts, ""])


def _judged() -> list[str]:
    """The hypotheses chapter: the rule, the controls, and every prediction."""
    controls = ["### The controls", "", "| control | how it is built | true of it by construction |", "|---|---|---|"]
    return [_HYPOTHESES, *controls, *map(_render_control, CONTROLS), "", *map(_render_hypothesis, HYPOTHESES)]


def _render_control(control: ControlCard) -> str:
    letter = f" ({control.letter})" if control.letter else ""
    exempt = "; exempt from matching" if control.exempt else ""
    return f"| `{control.name}`{letter} | {control.built} | {control.true_of_it}{exempt} |"


def _render_hypothesis(hypothesis: Hypothesis) -> str:
    dose = "Read off as the nearest dose of training, never as a share t." if hypothesis.dose else ""
    return "\n".join(
        [
            f"### {hypothesis.name}",
            "",
            f"**{hypothesis.title}.** {hypothesis.statement} Source: {hypothesis.source}. {dose}".rstrip(),
            "",
            "| statistic | row | with the property | without | why |",
            "|---|---|---|---|---|",
            *map(_render_prediction, predictions(hypothesis.name)),
            "",
        ]
    )


def _render_prediction(prediction: Prediction) -> str:
    select = prediction.select
    layer = "all layers" if select.layer == "all" else f"{select.layer} layer"
    row = ", ".join([f"`{word}`" for word in (select.condition, select.site) if word] + [layer])
    sides = [
        ", ".join(f"`{name}`" for name in side) for side in (prediction.with_controls, prediction.without_controls)
    ]
    statistic = f"[`{prediction.statistic}`](#{prediction.experiment})"
    return f"| {statistic} | {row} | {sides[0]} | {sides[1]} | {prediction.why} |"


def _render_card(card: ExperimentCard) -> str:
    toy = card.applies_to == (TOY,)
    runs_on = "networks that `rote toy` trains" if toy else ", ".join(card.applies_to)
    lines = [
        f"## {card.name}",
        "",
        f"**{card.title}** {card.question}",
        "",
        card.method,
        "",
        f"Runs on: {runs_on}. Needs: {_needs(card)}. Source: {card.source}.",
        "",
        "| statistic | unit | meaning | formula |",
        "|---|---|---|---|",
        *(f"| `{s.name}` | {s.unit} | {s.meaning} | {s.formula} |" for s in card.statistics),
        "",
    ]
    if card.published:
        lines += [
            "Published:" if toy else "Published for Pythia-2.8B:",
            "",
            *map(_render_published, card.published),
            "",
        ]
    return "\n".join(lines)


def _needs(card: ExperimentCard) -> str:
    """What must be there before it, in words."""
    if not card.takes:
        return "no model and no facts" if card.applies_to == (TOY,) else "nothing; it trains the models that it studies"
    if not card.needs_facts:
        return "running text, and no facts" if TEXT in card.takes else "no facts"
    return "; ".join(_NEEDS[need] for need in card.needs) or "nothing but the facts"


def _render_published(published: PublishedValue) -> str:
    return f"- `{published.statistic}`: {published.text} (post {published.source.post})"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(render_markdown(), encoding="utf-8")
    else:
        sys.stdout.write(render_markdown())
