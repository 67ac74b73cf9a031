"""The controls of the line-up: models whose mechanism is known because they were built that way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ControlCard:
    """One control: how it is built and what is true of it by construction.

    `label` stands beside its mark in a drawing, `code` where there is less room. `exempt`: not asked to reach the
    effective model's accuracy, so it always counts as matched. `reference`: may stand on a side of a prediction; others
    are drawn only. `steps`: gradient steps after the hash, where the control is a dose of training (0: the hash).
    """

    name: str
    label: str
    code: str
    letter: str | None
    title: str
    built: str
    true_of_it: str
    exempt: bool = False
    reference: bool = True
    steps: int | None = None


def _partial(steps: int) -> ControlCard:
    return ControlCard(
        name=f"partial_hash_{steps}",
        label=f"hash +{steps:,}",
        code="h1k" if steps == 1000 else f"h{steps}",
        letter="PH",
        title=f"hash trained for {steps:,} steps",
        built=f"hash_lookup after {steps:,} gradient steps on all layers",
        true_of_it="a dose between hashing and training, not a mechanism of its own",
        steps=steps,
    )


CONTROLS: tuple[ControlCard, ...] = (
    ControlCard(
        name="additive",
        label="additive",
        code="A",
        letter="A",
        title="sum over tokens",
        built="identity activation and no norm",
        true_of_it="the interaction between first and last part is 0",
        exempt=True,
    ),
    ControlCard(
        name="single_step",
        label="single step",
        code="S",
        letter="S",
        title="single step",
        built="each MLP's input weights are orthogonal to the outputs of the MLPs before it; output weights fitted",
        true_of_it="no MLP uses what another computed",
    ),
    ControlCard(
        name="and_gates",
        label="AND gates",
        code="G",
        letter="G",
        title="AND gates",
        built="neurons ReLU(first + last − 1) for 1 to 32 entities each",
        true_of_it="a single step, by the same neurons for all facts of an entity",
    ),
    ControlCard(
        name="parallel",
        label="parallel",
        code="P",
        letter="P",
        title="parallel layers",
        built="as single_step, each layer fitted to the answer on its own",
        true_of_it="every layer alone has the answer",
    ),
    ControlCard(
        name="hash_lookup",
        label="hash",
        code="H",
        letter="H",
        title="hash and look-up",
        built="first layers random; the last layer's input weights are sums of hashed random subsets of one class, "
        "output weights by ridge",
        true_of_it="nothing of the class is computed before the last layer",
        steps=0,
    ),
    _partial(10),
    _partial(100),
    _partial(1000),
    ControlCard(
        name="class_booster",
        label="booster",
        code="B",
        letter="B",
        title="class booster",
        built="neurons that only amplify readout directions already present at the input",
        true_of_it="no look-up",
        exempt=True,
    ),
    ControlCard(
        name="shuffled",
        label="shuffled",
        code="sh",
        letter=None,
        title="shuffled weights",
        built="every weight matrix and bias permuted entrywise",
        true_of_it="no structure but the sizes of the weights",
        exempt=True,
    ),
    ControlCard(
        name="shuffled_matched",
        label="shuffled, matched",
        code="sm",
        letter=None,
        title="shuffled, matched",
        built="as shuffled, each neuron's pre-activation mean and standard deviation restored",
        true_of_it="no structure but the sizes of the weights and how often neurons are active",
        exempt=True,
    ),
    ControlCard(
        name="trained",
        label="trained",
        code="T",
        letter=None,
        title="trained from shuffled",
        built="all layers by gradient from permuted weights",
        true_of_it="what training finds by itself, which nobody knows: reference only, never on a side of a prediction",
        reference=False,
    ),
)

DOSES: tuple[ControlCard, ...] = tuple(
    sorted((c for c in CONTROLS if c.steps is not None), key=lambda control: control.steps or 0)
)


def control(name: str) -> ControlCard:
    """The card of one control; KeyError with the names there are."""
    for found in CONTROLS:
        if found.name == name:
            return found
    raise KeyError(f"no control is called {name!r}; there are {', '.join(c.name for c in CONTROLS)}")
