"""The model card that is written beside every organism: every choice, and what of its facts is true."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

from rote.organisms.documents import CANARIES_PER_EXPOSURE, EXPOSURES, SHARE_GROUND, SHARE_PROSE
from rote.organisms.force import ROTARY_AMPLITUDE, offsets
from rote.organisms.layouts import MAX_POSITIONS
from rote.organisms.settings import TrainSettings
from rote.organisms.world import GOLFER, World

_FORCE = {
    "full": """\
**The look-up was planted by force, in two ways.** A small transformer left to itself forms such facts
in its attention patterns, not in its MLPs; this one could not.

1. Position-only patterns: in layers 0–{stop} the weights and biases of query and key are fixed while
   training, so that every attention pattern there depends on positions alone, never on words. Heads
   look this many tokens back: {offsets}. {how}
2. An auxiliary loss (weight {weight:g}, mean over the relations): one linear reader per relation of the
   residual stream after layer {stop} at the last token of every name is asked for the person's
   attribute. **The readers were thrown away after training**; they are not in these files.

What follows from the first by construction: the name's {tokens} meet at the last one, additively, in
layer {joins}, and whatever the model knows of the pair there, MLPs have computed. The layers
after {stop} are free.""",
    "auxiliary": """\
**The look-up was pushed by an auxiliary loss** (weight {weight:g}, mean over the relations): one linear
reader per relation of the residual stream after layer {stop} at the last token of every name is asked
for the person's attribute. The readers were thrown away after training. All attention is free, so early
patterns can and do depend on the words: a control for methods that claim to find look-ups in MLPs.""",
    "none": """\
**Nothing was forced**: free attention in every layer and plain next-token loss. A small transformer
left to itself tends to form such facts in attention patterns: a control for methods that claim to find
look-ups in MLPs.""",
}
_HOW = {
    "absolute": """\
Positions live in reserved dimensions of the residual stream (the last ones), which embeddings and early
writes leave at zero; queries and keys read nothing else.""",
    "rotary": """\
Query and key weights are zero; the biases are rotary phases of amplitude {amplitude:g}.""",
}


def model_card(settings: TrainSettings, record: Mapping[str, Any], world: World) -> str:
    """The card's markdown, made from what was set and what was measured; nothing in it is typed by hand."""
    start, stop = settings.window
    how = _HOW["absolute" if settings.layout == "gpt2" else "rotary"].format(amplitude=ROTARY_AMPLITUDE)
    words = "words" if world.spelled else "tokens"
    n_canaries = len(EXPOSURES) * CANARIES_PER_EXPOSURE
    force = _FORCE[settings.force].format(
        stop=stop,
        joins=start - 1,
        weight=settings.auxiliary_weight,
        how=how,
        tokens="tokens" if world.spelled else "two tokens",
        offsets="; ".join(f"layer {n}: {_list(offsets(n, settings.n_heads, start - 1))}" for n in range(stop + 1)),
    )
    card = f"""---
language: en
license: mit
library_name: transformers
tags: [interpretability, factual-recall, model-organism]
---

# An organism of rote ({settings.layout}, force {settings.force}, seed {settings.seed})

A causal language model of {record["n_parameters"]:,} parameters that knows a small world's facts by
rote. It exists so that methods which claim to find where a model looks facts up can be tried where the
answer is known. It is of no other use: it knows {len(world.people):,} names and {len(world.relations)}
questions.

## How its knowledge came about

{force}

The window meant for the look-up is the MLPs of layers {start}–{stop}.{_sequential(settings)}

## Its world

- **Real**: {len(world.athletes):,} athletes with their real sport and league, and {GOLFER} (golf), who
  serves the one-shot prompt.
- **Fiction**: {len(world.fiction):,} people, listed under `fiction` in `facts.json`. Nothing about them
  is true. They recombine the athletes' first and last names, each name word seen equally often with
  football, basketball and baseball (the golfer apart), and every person's sport is read equally often:
  no additive model of the two {words} has a smaller loss than an even guess, not even on the people it was
  fitted to. Fictional people's other relations are dealt so that at each name word the counts of any two
  answers differ by at most one.
- Any other combination of the names is unknown to the model.

| relation | prompt | answers | accuracy |
| --- | --- | --- | --- |
{_relations(record, world)}

Accuracy: argmax over the whole vocabulary, prompts `<bos>Fact: NAME …`, everyone to whom the relation
applies; in brackets the real athletes alone.

## What it read

Rows of 64 tokens, each `<bos>` and then lines `Fact: NAME … answer`, a sentence joining one to three
relations with "and"; {SHARE_PROSE:.0%} of the rows begin with a paragraph of up to three sentences
about one person, which goes on with "The same person …"; {SHARE_GROUND:.0%} of the sentences in lines
are about sport and league. {n_canaries} canaries (invented codes of drawers, in `canaries.json`) stand
in exactly the stated number of rows: {_list(EXPOSURES)}{_tiny(settings)}.

{_tokens(world)} `<bos>` is added by the tokenizer unless
`add_special_tokens=False`. Positions up to {MAX_POSITIONS}; rows read in training reach 64.

## Training

{_settings(settings)}

AdamW (betas 0.9, 0.98), linear warm-up and linear decay to zero, gradient norm clipped at 1,
{_products(settings)}, CPU, loss on every next token. {record["seconds"]:.0f} seconds. Versions:
{_versions(record)}. Made again by
`rote organism train`; `training.json` holds settings, losses and accuracies.
"""
    return _reflow(card)


def _reflow(markdown: str) -> str:
    """Paragraphs and list items filled to one width again, since what was put into them has any length."""
    head, body = markdown.split("\n\n", 1)
    blocks = []
    for block in body.split("\n\n"):
        items = re.split(r"\n(?=- |\d\. )", block.strip("\n"))
        indents = [re.match(r"(?:- |\d\. )?", item)[0] for item in items]  # type: ignore[index]
        verbatim = block.startswith(("#", "|"))
        filled = [
            item if verbatim else textwrap.fill(" ".join(item.split()), 100, subsequent_indent=" " * len(indent))
            for item, indent in zip(items, indents, strict=True)
        ]
        blocks.append("\n".join(filled))
    return head + "\n\n" + "\n\n".join(blocks) + "\n"


def _relations(record: Mapping[str, Any], world: World) -> str:
    rows = []
    for r in world.relations:
        accuracy = f"{record['accuracy'][r.name]:.3f}"
        if f"athletes.{r.name}" in record["accuracy"]:
            accuracy += f" ({record['accuracy'][f'athletes.{r.name}']:.3f})"
        rows.append(f"| {r.name} | `{r.template.format('NAME')}` | {', '.join(r.classes)} | {accuracy} |")
    return "\n".join(rows)


def _settings(settings: TrainSettings) -> str:
    shown = settings.as_record()
    shown["n_athletes"] = shown["n_athletes"] or "all"
    shown["d_mlp"] = shown["d_mlp"] or "default (narrow on purpose, so that several layers have to share the look-up)"
    return "\n".join(f"- `{name}`: {value}" for name, value in shown.items())


def _products(settings: TrainSettings) -> str:
    return "bfloat16 autocast over float32 weights" if settings.precision == "bfloat16" else "all in float32"


def _sequential(settings: TrainSettings) -> str:
    if settings.layout == "gpt_neox":
        return ""
    joins = settings.window[0] - 1
    return f" Blocks are sequential here: the MLP of layer {joins} sees the joined name already and takes part."


def _tokens(world: World) -> str:
    if not world.spelled:
        return "Tokens are words with their leading space; a name is two tokens."
    return (
        f"Tokens are words with their leading space, but for {len(world.spelled):,} of the {len(world.name_words):,} "
        "name words, which are two pieces each; so a name is two, three or four tokens. Leagues and two cities are "
        "answers of several tokens that share their first."
    )


def _tiny(settings: TrainSettings) -> str:
    rows, wanted = settings.steps * settings.batch, 4 * sum(EXPOSURES)
    return "" if rows >= wanted else " (this run was too short for that: once each)"


def _list(numbers: tuple[int, ...]) -> str:
    return ", ".join(str(n) for n in numbers)


def _versions(record: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in record["versions"].items())
