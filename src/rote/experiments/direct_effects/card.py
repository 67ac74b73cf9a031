"""The card of direct_effects: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import CIRCUIT, ExperimentCard, PublishedValue, Source, StatisticCard

CARD = ExperimentCard(
    name="direct_effects",
    title="Which heads write the answer?",
    question="Which attention heads and MLPs write the answer directly into the logits at the end of the prompt?",
    method=(
        "Each head and each MLP in turn has its output at the prompt's end replaced, along the direct path into the "
        "unembedding only, by its output on a prompt about an entity of another class; the effect is how far the logit "
        "of the right class falls against that of the other class, ranked on one half of the entities and reported on "
        "the other. A head that does not look at the entity reads nothing there, so each head's effect is split, "
        "exactly, by the tokens that it comes from, and the answer is read through heads that bring it from the "
        "name's last token."
    ),
    source=Source(post=2, section="attribute extraction: the heads that write the sport"),
    takes=(CIRCUIT,),
    seconds=3.5,
    needs=("known_facts",),
    statistics=(
        StatisticCard(
            name="direct_effect",
            unit="logit",
            conditions=("selection", "report"),
            meaning="How much one node supports the right class against another, directly.",
            formula="drop of logit[clean class] − logit[other class] when the node's direct path is resampled, the "
            "final norm's scale frozen",
        ),
        StatisticCard(
            name="top_head",
            unit="rank",
            meaning="The six heads with the largest effect on the selection half, wherever they read.",
            formula="rank of the head by direct_effect on the selection half",
        ),
        StatisticCard(
            name="source_effect",
            unit="logit",
            conditions=("selection", "report"),
            meaning="The part of a head's effect that comes from one kind of position: start of text, one-shot prefix, "
            "earlier name tokens, last name token, relation words, the end itself; the six sum to the effect.",
            formula="Σ over the kind's positions of pattern · v · W_O, clean minus the same on the other prompt, into "
            "logit[clean class] − logit[other class] with the clean norms' scales frozen",
        ),
        StatisticCard(
            name="readout_head",
            unit="rank",
            meaning="The heads that the answer is read through at the name's last token; rank 1 brings most of it.",
            formula="rank by source_effect from the last name token on the selection half; as few heads as come within "
            "a tolerance of the largest gain in flips over random subspaces (flip_gain of readout)",
        ),
    ),
    published=(
        PublishedValue(
            statistic="top_head",
            layer=16,
            head=20,
            value=1,
            text="L16H20 comes first",
            source=Source(post=2, section="attribute extraction"),
        ),
        PublishedValue(
            statistic="top_head",
            layer=21,
            head=9,
            value=2,
            text="L21H9 comes second",
            source=Source(post=2, section="attribute extraction"),
        ),
        *(
            PublishedValue(
                statistic="top_head",
                layer=layer,
                head=head,
                low=3,
                high=6,
                text=f"L{layer}H{head} is among the next",
                source=Source(post=2, section="attribute extraction"),
            )
            for layer, head in ((22, 17), (19, 24), (22, 15), (17, 30))
        ),
    ),
)
