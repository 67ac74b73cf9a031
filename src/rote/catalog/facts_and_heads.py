"""Cards: which facts are known, and which heads bring the answer to the end of the prompt."""

from __future__ import annotations

from rote.catalog.types import ExperimentCard, PublishedValue, Source, StatisticCard, first_order_card

KNOWN_FACTS = ExperimentCard(
    name="known_facts",
    title="Which facts does the model know?",
    question="How many of the facts does the model know, and how far would one get from the tokens of a name alone?",
    method=(
        "Every fact is put to the model with its prompt, and the probability of the correct attribute's "
        "first token "
        "is read from the whole vocabulary; a fact is known if that probability is above one half. "
        "Guesses that use no look-up at all (the commonest class, or the commonest class among other "
        "entities that "
        "share the first or last token) are scored leave-one-out beside it."
    ),
    source=Source(post=2, section="the narrow task of athletes and their sports, and what single tokens give away"),
    applies_to=("model",),
    statistics=(
        StatisticCard(name="n_facts", unit="count", meaning="Facts put to the model.", formula="number of facts"),
        StatisticCard(
            name="n_known",
            unit="count",
            meaning="Facts that the model knows.",
            formula="number of facts with p(first token of the correct attribute) > 0.5",
        ),
        StatisticCard(
            name="accuracy",
            unit="fraction",
            meaning="How often the most probable token of all is the right one.",
            formula="mean of [argmax over the vocabulary = correct attribute's first token]",
        ),
        StatisticCard(
            name="accuracy_cls",
            unit="fraction",
            meaning="How often the right class is the most probable of the relation's classes.",
            formula="mean of [argmax over the classes = correct class]",
        ),
        StatisticCard(
            name="loss_nats",
            unit="nats",
            meaning="Loss on the correct attribute's first token, over all facts and for each class.",
            formula="mean of −log p(correct attribute's first token)",
        ),
        StatisticCard(
            name="baseline_majority",
            unit="fraction",
            meaning="Accuracy of always guessing the commonest class of the other entities.",
            formula="leave-one-out accuracy of the majority class",
        ),
        StatisticCard(
            name="baseline_last",
            unit="fraction",
            meaning="Accuracy of guessing from the last token of the name.",
            formula="leave-one-out accuracy of the majority class among entities with the same last token, "
            "else of the majority class",
        ),
        StatisticCard(
            name="baseline_first",
            unit="fraction",
            meaning="Accuracy of guessing from the first token of the name.",
            formula="leave-one-out accuracy of the majority class among entities with the same first token, "
            "else of the majority class",
        ),
        StatisticCard(
            name="baseline_additive_fit",
            unit="fraction",
            meaning="How much a linear model on both tokens can memorise; in-sample, so no evidence of look-up.",
            formula="in-sample accuracy of a linear classifier on one-hot first and last tokens",
        ),
        StatisticCard(
            name="shared_first",
            unit="fraction",
            meaning="Entities whose first token occurs in another entity.",
            formula="share of entities with a shared first token",
        ),
        StatisticCard(
            name="shared_last",
            unit="fraction",
            meaning="Entities whose last token occurs in another entity.",
            formula="share of entities with a shared last token",
        ),
        StatisticCard(
            name="shared_both",
            unit="fraction",
            meaning="Entities for which both hold.",
            formula="share of entities with a shared first and a shared last token",
        ),
    ),
    published=(
        PublishedValue(
            statistic="baseline_majority",
            condition="two_token",
            value=0.47,
            text="47 % of the athletes with two-token names play the commonest sport",
            source=Source(post=2, section="how far single tokens go"),
        ),
        PublishedValue(
            statistic="baseline_last",
            condition="two_token",
            value=0.50,
            text="50 % from the last token",
            source=Source(post=2, section="how far single tokens go"),
        ),
        PublishedValue(
            statistic="baseline_first",
            condition="two_token",
            value=0.40,
            text="40 % from the first token",
            source=Source(post=2, section="how far single tokens go"),
        ),
    ),
)

DIRECT_EFFECTS = ExperimentCard(
    name="direct_effects",
    title="Which heads write the answer?",
    question="Which attention heads and MLPs write the answer directly into the logits at the end of the prompt?",
    method=(
        "Each head and each MLP in turn has its output at the prompt's end replaced, along the direct path "
        "into the "
        "unembedding only, by its output on a prompt about an entity of another class. "
        "The effect is how far the logit of the right class falls against that of the other class; the heads "
        "are ranked "
        "on one half of the entities and reported on the other."
    ),
    source=Source(post=2, section="attribute extraction: the heads that write the sport"),
    applies_to=("model",),
    needs=("known_facts",),
    statistics=(
        StatisticCard(
            name="direct_effect",
            unit="logit",
            meaning="How much one node supports the right class against another, directly.",
            formula="drop of logit[clean class] − logit[other class] when the node's direct path is "
            "resampled, "
            "the final norm's scale frozen",
        ),
        StatisticCard(
            name="top_head",
            unit="rank",
            meaning="The six heads with the largest effect on the selection half; rank 1 is the readout head.",
            formula="rank of the head by direct_effect on the selection half",
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

HEAD_ATTENTION = ExperimentCard(
    name="head_attention",
    title="Where do these heads look?",
    question="Do the heads that write the answer look back at the entity's last token, whatever is asked about it?",
    method=(
        "The attention of each top head from the prompt's end is averaged over the facts and summed by kind "
        "of position: "
        "start of text, one-shot prefix, earlier name tokens, last name token, relation words, the end "
        "itself. "
        "The same is done with prompts about the model's other relations."
    ),
    source=Source(post=1, section="heads extract the sport even when another attribute is asked"),
    applies_to=("model",),
    needs=("known_facts",),
    statistics=(
        StatisticCard(
            name="attention",
            unit="fraction",
            meaning="Share of a head's attention, from the prompt's end, that goes to one kind of position.",
            formula="mean over facts of the sum of the pattern from `end` over the positions of that kind",
        ),
    ),
)

VALUE_INPUTS = ExperimentCard(
    name="value_inputs",
    title="What do these heads carry?",
    question="Which earlier parts of the network write what the top heads carry away from the entity's last token?",
    method=(
        "For each top head, every earlier node at the entity's last token is replaced by its output on an "
        "entity of "
        "another class, as seen through this head's value path only. "
        "The effect on the answer shows which embeddings, MLPs and other heads feed the head, and which "
        "boost it."
    ),
    source=Source(post=2, section="attribute extraction: what feeds the extracting heads"),
    applies_to=("model",),
    needs=("known_facts",),
    statistics=(
        StatisticCard(
            name="value_effect",
            unit="logit",
            meaning="How much an earlier node supports the answer through the value path of one head.",
            formula="drop of logit[clean class] − logit[other class] when the node is patched into the "
            "head's value input",
        ),
        first_order_card("patching a node"),
    ),
    published=(
        PublishedValue(
            statistic="value_effect",
            text="later heads are fed by the first head's own output at the last name token; MLPs 8, 11 and "
            "13 boost it",
            source=Source(post=2, section="attribute extraction: what feeds the extracting heads"),
        ),
    ),
)

KEY_OR_VALUE = ExperimentCard(
    name="key_or_value",
    title="Do the early MLPs say where to look, or what to say?",
    question="Does an early MLP matter because it tells the top heads where to look (key) or what to carry (value)?",
    method=(
        "Each early MLP's output at the entity's last token is ablated only as the top heads' keys see it, "
        "and then only "
        "as their values see it. "
        "Accuracy falls under the first if the MLP marks the place, under the second if it writes the "
        "content."
    ),
    source=Source(post=3, section="MLP1 matters for the key, not for the value"),
    applies_to=("model",),
    needs=("known_facts",),
    statistics=(
        StatisticCard(
            name="accuracy",
            unit="fraction",
            meaning="Accuracy over the whole vocabulary with one MLP hidden from the top heads' keys or values.",
            formula="mean of [argmax over the vocabulary = correct attribute's first token]",
        ),
        StatisticCard(
            name="accuracy_cls",
            unit="fraction",
            meaning="The same among the relation's classes.",
            formula="mean of [argmax over the classes = correct class]",
        ),
    ),
    published=(
        PublishedValue(
            statistic="accuracy",
            source_node="mlp.1",
            text="MLP1 matters for the key, not for the value",
            source=Source(post=3, section="MLP1 and the key"),
        ),
    ),
)
