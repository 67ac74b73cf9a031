"""The card of memorisation: what is asked, how it is measured, and every statistic."""

from __future__ import annotations

from rote.catalog.types import TOY, ExperimentCard, Source, StatisticCard

_PURE = Source(post=4, section="memorisation in the pure, where there is nothing to interpret inside")

CARD = ExperimentCard(
    name="memorisation",
    title="Is there anything to interpret inside pure memorisation?",
    question="Where facts follow no rule, does a network that knows them all hold any intermediate state beyond its "
    "inputs, and are its insides sparser than before training?",
    method=(
        "Many small networks learn a random bit for each pair of integers, and beside them networks of the same shape "
        "learn bits that follow a rule (a checkerboard, addition modulo n), where structure must be found, and "
        "networks that are never trained. On pairs that were never trained on, linear probes of the hidden activations "
        "look for either integer, the bit, and the XOR of one bit of either integer, each against permuted targets, "
        "and the same activations are measured for sparsity."
    ),
    source=_PURE,
    applies_to=(TOY,),
    statistics=(
        StatisticCard(
            name="accuracy_seen",
            unit="fraction",
            conditions=(
                "memorisation",
                "checkerboard",
                "modular_addition",
                "untrained",
                "random_colours",
                "checkerboard_3",
                "checkerboard_with_exceptions",
                "two_correlated_facts",
            ),
            shown="percent",
            meaning="Accuracy on the pairs that were trained on.",
            formula="mean over networks",
        ),
        StatisticCard(
            name="accuracy_unseen",
            unit="fraction",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            shown="percent",
            meaning="Accuracy on pairs that were not: chance where there is no rule.",
            formula="mean over networks",
        ),
        StatisticCard(
            name="bits_per_parameter",
            unit="bits",
            conditions=("memorisation",),
            meaning="Bits that the answers on seen pairs tell of random bits, per parameter of the MLPs (mlp), or of "
            "MLPs and embeddings (all); of memorisation alone, since a rule needs no storing.",
            formula="n · (1 − H(accuracy)) / parameters",
        ),
        StatisticCard(
            name="integer_probe_accuracy",
            unit="fraction",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            shown="percent",
            meaning="How often a linear probe names the integer in a place; permuted: probes for permuted integers.",
            formula="argmax of ridge regressions, fitted on seen pairs, scored on unseen ones",
        ),
        StatisticCard(
            name="bit_probe_accuracy",
            unit="fraction",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            shown="percent",
            meaning="How often a linear probe tells the bit of an unseen pair; permuted: probes for permuted bits.",
            formula="sign of a ridge regression, fitted on seen pairs, scored on unseen ones",
        ),
        StatisticCard(
            name="xor_probe_accuracy",
            unit="fraction",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            shown="percent",
            meaning="How often a linear probe tells the XOR of one bit of either integer (its stripe on the "
            "checkerboard, else a random half of the integers); permuted: other halves.",
            formula="sign of a ridge regression, fitted on seen pairs, scored on unseen ones",
        ),
        StatisticCard(
            name="xor_gain",
            unit="fraction",
            conditions=("memorisation", "checkerboard", "modular_addition"),
            meaning="How much better the XOR is told than in the untrained network of the same seed; above 0 where "
            "training has joined the two integers.",
            formula="xor_probe_accuracy − the same before training, mean over networks",
        ),
        StatisticCard(
            name="structure_found",
            unit="fraction",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            shown="percent",
            meaning="Share of networks in which the bit or the XOR (bit, xor: that one) is found in any layer; exact "
            "intervals (Clopper–Pearson). By rote the bit of an unseen pair is a coin, and a random half is like any "
            "other: there it is the test's rate of false alarms.",
            formula="smallest permutation p ≤ level / number of probes",
        ),
        StatisticCard(
            name="kurtosis_activations",
            unit="ratio",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            meaning="How heavy-tailed a neuron's activations are; 0 is normal.",
            formula="mean over neurons of E(x − x̄)⁴ / SD⁴ − 3",
        ),
        StatisticCard(
            name="kurtosis_weights",
            unit="ratio",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            meaning="How heavy-tailed a layer's input weights are, all of them together; 0 is normal.",
            formula="E(w − w̄)⁴ / SD⁴ − 3",
        ),
        StatisticCard(
            name="participation_ratio",
            unit="ratio",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            meaning="Share of a layer's dimensions that its activations use; 1 is all alike.",
            formula="(Σλ)² / (n Σλ²) over the n eigenvalues of the covariance",
        ),
        StatisticCard(
            name="dictionary_l0",
            unit="ratio",
            conditions=("memorisation", "checkerboard", "modular_addition", "untrained"),
            meaning="Atoms of a fitted sparse dictionary that a state takes until nine tenths of it are explained, "
            "per neuron.",
            formula="mean length of orthogonal matching pursuit / neurons",
        ),
        StatisticCard(
            name="facts_agree",
            unit="fraction",
            conditions=("two_correlated_facts",),
            shown="percent",
            meaning="Of two facts whose colours agree for nine in ten points of the plane: the share of the plane "
            "where a network's two answers agree.",
            formula="mean over places of the plane",
        ),
    ),
)
