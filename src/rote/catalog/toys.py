"""Cards: small networks that are trained for one question, by `rote toy`."""

from __future__ import annotations

from rote.catalog.types import TOY, ExperimentCard, PublishedValue, Source, StatisticCard

_PURE = Source(post=4, section="memorisation in the pure, where there is nothing to interpret inside")
_BAGGING = Source(post=4, section="neurons as many weak classifiers whose votes are added up")
_SUPERLINEAR = Source(post=1, section="how the number of facts grows with the number of neurons")

MEMORISATION = ExperimentCard(
    name="memorisation",
    title="Is there anything to interpret inside pure memorisation?",
    question="Where facts follow no rule, does a network that knows them all hold any intermediate state beyond its "
    "inputs, and are its insides sparser than before training?",
    method=(
        "Many small networks learn a random bit for each pair of integers, and beside them networks of the same shape "
        "learn bits that follow a rule (a checkerboard, addition modulo n), where structure must be found, and "
        "networks that are never trained. "
        "On pairs that were never trained on, linear probes of the hidden activations look for either integer, the "
        "bit, and the XOR of one bit of either integer, each against permuted targets, and the same activations are "
        "measured for sparsity."
    ),
    source=_PURE,
    applies_to=(TOY,),
    statistics=(
        StatisticCard(
            name="accuracy_seen",
            unit="fraction",
            meaning="Accuracy on the pairs that were trained on.",
            formula="mean over networks",
        ),
        StatisticCard(
            name="accuracy_unseen",
            unit="fraction",
            meaning="Accuracy on pairs that were not: chance where there is no rule.",
            formula="mean over networks",
        ),
        StatisticCard(
            name="bits_per_parameter",
            unit="bits",
            meaning="Bits that the answers on seen pairs tell of random bits, per parameter of the MLPs (mlp), or of "
            "MLPs and embeddings (all); of memorisation alone, since a rule needs no storing.",
            formula="n · (1 − H(accuracy)) / parameters",
        ),
        StatisticCard(
            name="integer_probe_accuracy",
            unit="fraction",
            meaning="How often a linear probe names the integer in a place; permuted: probes for permuted integers.",
            formula="argmax of ridge regressions, fitted on seen pairs, scored on unseen ones",
        ),
        StatisticCard(
            name="bit_probe_accuracy",
            unit="fraction",
            meaning="How often a linear probe tells the bit of an unseen pair; permuted: probes for permuted bits.",
            formula="sign of a ridge regression, fitted on seen pairs, scored on unseen ones",
        ),
        StatisticCard(
            name="xor_probe_accuracy",
            unit="fraction",
            meaning="How often a linear probe tells the XOR of one bit of either integer (its stripe on the "
            "checkerboard, else a random half of the integers); permuted: other halves.",
            formula="sign of a ridge regression, fitted on seen pairs, scored on unseen ones",
        ),
        StatisticCard(
            name="xor_gain",
            unit="fraction",
            meaning="How much better the XOR is told than in the untrained network of the same seed; above 0 where "
            "training has joined the two integers.",
            formula="xor_probe_accuracy − the same before training, mean over networks",
        ),
        StatisticCard(
            name="structure_found",
            unit="fraction",
            meaning="Share of networks in which the bit or the XOR (bit, xor: that one) is found in any layer; exact "
            "intervals (Clopper–Pearson). By rote the bit of an unseen pair is a coin, and a random half is like any "
            "other: there it is the test's rate of false alarms.",
            formula="smallest permutation p ≤ level / number of probes",
        ),
        StatisticCard(
            name="kurtosis_activations",
            unit="ratio",
            meaning="How heavy-tailed a neuron's activations are; 0 is normal.",
            formula="mean over neurons of E(x − x̄)⁴ / SD⁴ − 3",
        ),
        StatisticCard(
            name="kurtosis_weights",
            unit="ratio",
            meaning="How heavy-tailed a layer's input weights are, all of them together; 0 is normal.",
            formula="E(w − w̄)⁴ / SD⁴ − 3",
        ),
        StatisticCard(
            name="participation_ratio",
            unit="ratio",
            meaning="Share of a layer's dimensions that its activations use; 1 is all alike.",
            formula="(Σλ)² / (n Σλ²) over the n eigenvalues of the covariance",
        ),
        StatisticCard(
            name="dictionary_l0",
            unit="ratio",
            meaning="Atoms of a fitted sparse dictionary that a state takes until nine tenths of it are explained, "
            "per neuron.",
            formula="mean length of orthogonal matching pursuit / neurons",
        ),
        StatisticCard(
            name="facts_agree",
            unit="fraction",
            meaning="Of two facts whose colours agree for nine in ten points of the plane: the share of the plane "
            "where a network's two answers agree.",
            formula="mean over places of the plane",
        ),
    ),
)

BAGGING = ExperimentCard(
    name="bagging",
    title="Are neurons like uncorrelated weak classifiers?",
    question="Does a network that has memorised add up the votes of neurons that err independently of each other, as "
    "bagging does?",
    method=(
        "On the networks of memorisation each neuron of the last layer votes by the sign of its contribution to the "
        "logit beside the midpoint of its means on the two classes. "
        "Everything is measured again after each neuron's contributions were dealt out anew among the facts of each "
        "class, which leaves every neuron as strong as it was and makes them independent."
    ),
    source=_BAGGING,
    applies_to=(TOY,),
    statistics=(
        StatisticCard(
            name="vote_accuracy",
            unit="fraction",
            meaning="Accuracy of a single neuron's vote on the seen facts.",
            formula="mean over neurons and networks",
        ),
        StatisticCard(
            name="error_correlation",
            unit="ratio",
            meaning="Correlation of the errors of two neurons' votes; independent: dealt out anew.",
            formula="mean over pairs of neurons of the Pearson correlation over facts; at least −1/(neurons − 1)",
        ),
        StatisticCard(
            name="vote_count_variance",
            unit="ratio",
            meaning="How much the number of wrong votes varies from fact to fact beside votes that err independently: "
            "1, less where neurons make up for each other's errors, more where they err together.",
            formula="Var(Σ_j wrong_j) / Σ_j Var(wrong_j) over facts",
        ),
        StatisticCard(
            name="majority_accuracy",
            unit="fraction",
            meaning="Accuracy of the majority of the votes; independent: dealt out anew.",
            formula="mean over networks",
        ),
        StatisticCard(
            name="subset_accuracy",
            unit="fraction",
            meaning="Accuracy of the summed contributions of random neurons, of the share in the parameters; "
            "independent: dealt out anew.",
            formula="mean over draws of neurons and over networks",
        ),
    ),
)

CAPACITY = ExperimentCard(
    name="capacity",
    title="How many facts can an MLP store, and does that grow faster than its neurons?",
    question="How does the largest number of facts that a network can be trained to give right grow with its neurons, "
    "its width, its depth and its parameters: superlinearly?",
    method=(
        "Networks of each shape are trained on random classes of random pairs of integers, and the most facts of which "
        "they give 99 % right are found by bisection, several networks at once. "
        "Exponents are log–log slopes along one axis between networks that agree in everything else; a construction "
        "by hand, whose every table weight is −1, 0 or 1 and holds one fact of three classes, stands beside them."
    ),
    source=_SUPERLINEAR,
    applies_to=(TOY,),
    statistics=(
        StatisticCard(
            name="facts_stored",
            unit="count",
            meaning="The most facts seen stored at the asked accuracy, geometric mean over networks.",
            formula="bisection to the relative precision of the settings",
        ),
        StatisticCard(
            name="bits_per_parameter",
            unit="bits",
            meaning="Bits of these facts per parameter: of those that were trained (trained), of the MLPs alone "
            "(mlp), of MLPs and embeddings (all).",
            formula="n · (log₂ K − H(a) − (1 − a) · log₂(K − 1)) / parameters, a the accuracy reached, K classes",
        ),
        StatisticCard(
            name="exponent",
            unit="ratio",
            meaning="Exponent along one axis of the facts stored, of their bits, of the parameters (what is exactly "
            "proportional to them has this exponent) and of bits per parameter (0: as many on every size); also of "
            "the facts between neighbouring sizes.",
            formula="least-squares slope of log facts on log axis, with an intercept for each group of networks that "
            "agree in everything else; configurations and seeds resampled separately",
        ),
    ),
    published=(
        PublishedValue(
            statistic="exponent",
            source_node="neurons",
            text="the number of facts can grow superlinearly with the number of neurons",
            source=_SUPERLINEAR,
        ),
    ),
)
