"""The hypotheses and what each predicts, fixed before any run: plain data that the judge reads.

A prediction names one statistic, the row of it that decides, the controls that have the property and those that
do not. What is not listed is not predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

from rote.catalog.types import Source

# from a test that speaks for the hypothesis to one that says nothing about it
VERDICTS: tuple[str, ...] = (
    "consistent", "inconsistent", "in between", "unlike all controls", "not decisive", "not applicable",
)  # fmt: skip
STANDINGS: tuple[str, ...] = ("survives", "contradicted", "disputed", "undecided")
LAYERS: tuple[str, ...] = ("all", "first", "last")


@dataclass(frozen=True, kw_only=True)
class Select:
    """Which row of a statistic decides. `layer`: "all" (the row over all layers), "first", "last" of the window."""

    condition: str | None = None
    site: str | None = None
    layer: str = "all"


def cell_name(hypothesis: str, experiment: str, statistic: str, condition: str | None) -> str:
    """hypothesis/experiment/statistic, and the condition where the statistic has several."""
    return "/".join(part for part in (hypothesis, experiment, statistic, condition) if part)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One cell: where `hypothesis` holds, `statistic` is as in `with_controls` and not as in `without_controls`."""

    hypothesis: str
    experiment: str
    statistic: str
    select: Select
    with_controls: tuple[str, ...]
    without_controls: tuple[str, ...]
    why: str

    @property
    def cell(self) -> str:
        """The name of the cell in certification.json."""
        return cell_name(self.hypothesis, self.experiment, self.statistic, self.select.condition)


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One hypothesis; with `dose`, it is read off as the nearest dose of training and never as a share t."""

    name: str
    title: str
    statement: str
    source: Source
    dose: bool = False


SINGLE_STEP, HASH, PARALLEL = "single_step_detokenisation", "hash_and_lookup", "parallel_layers"
ADDITIVE, PARTIAL = "additive_tokens", "partial_hash_and_lookup"

HYPOTHESES: tuple[Hypothesis, ...] = (
    Hypothesis(
        name=SINGLE_STEP,
        title="Single-step detokenisation",
        statement="Each MLP of the window turns the name's tokens into attributes by itself: no MLP uses what another "
        "MLP computed.",
        source=Source(post=3, section="single-step detokenisation"),
    ),
    Hypothesis(
        name=HASH,
        title="Hash and look-up",
        statement="The first MLPs mix the tokens without regard to what will be asked, and a later one looks the "
        "mixture up.",
        source=Source(post=3, section="hash and look-up"),
    ),
    Hypothesis(
        name=PARALLEL,
        title="Parallel layers",
        statement="Every MLP of the window looks the answer up on its own, and their outputs add up.",
        source=Source(post=4, section="memorisation by many weak classifiers"),
    ),
    Hypothesis(
        name=ADDITIVE,
        title="Additive tokens",
        statement="The window adds what it knows of the first part to what it knows of the last, and nothing about "
        "the pair.",
        source=Source(post=3, section="how much linear structure is broken, layer by layer"),
    ),
    Hypothesis(
        name=PARTIAL,
        title="Partial hash and look-up",
        statement="The window hashes and looks up, and training has moved its first layers some way towards the "
        "answer.",
        source=Source(post=3, section="hash and look-up"),
        dose=True,
    ),
)

_PATH_SHARE = ("path_ablation", "path_share", Select(condition="additive"))
_WHOLE_PATH = ("path_ablation", "path_share", Select(condition="resample"))
_CORRELATION = ("shared_neurons", "mean_abs_correlation", Select(condition="unlinked"))
_INHERITED = ("nonlinear_excess", "inherited", Select())
_SCORE = ("nonlinear_excess", "interaction_score", Select())
_LINEAR = ("nonlinear_excess", "linear_share", Select())
_SHARE = ("linear_structure", "interaction_share", Select(site="mlp_out"))
_BROKEN = ("linear_structure", "broken_fraction", Select(condition="real", site="resid_post", layer="last"))
_AUC = ("class_neurons", "auc_without_directions", Select())
_RISE = ("layer_probes", "early_rise", Select())
_LAST = ("layer_probes", "layer_alone", Select(site="mlp_out", layer="last"))
_ALONE = ("layer_probes", "layer_alone", Select(condition="least"))
_NORMS = ("known_norms", "norm_auc", Select(condition="adjusted", site="mlp_out", layer="first"))

_DOSES = ("partial_hash_10", "partial_hash_100", "partial_hash_1000")


def _cell(
    hypothesis: str, row: tuple[str, str, Select], with_: tuple[str, ...], without: tuple[str, ...], why: str
) -> Prediction:
    experiment, statistic, select = row
    return Prediction(
        hypothesis=hypothesis,
        experiment=experiment,
        statistic=statistic,
        select=select,
        with_controls=with_,
        without_controls=without,
        why=why,
    )


PREDICTIONS: tuple[Prediction, ...] = (
    _cell(
        SINGLE_STEP, _PATH_SHARE, ("single_step", "and_gates"), ("hash_lookup",),
        "Where no MLP uses another's output, nothing is lost when what it computes jointly is cut from the paths "
        "between them.",
    ),
    _cell(
        SINGLE_STEP, _CORRELATION, ("and_gates",), ("hash_lookup",),
        "AND gates serve every fact of an entity with the same neurons, so ablating one moves all facts alike; this "
        "is the strong form, which fitted single steps need not have.",
    ),
    _cell(
        SINGLE_STEP, _INHERITED, ("single_step", "and_gates"), ("hash_lookup",),
        "A single step makes its nonlinear excess in its own activation; what is inherited through the "
        "pre-activation was computed by an earlier MLP.",
    ),
    _cell(
        SINGLE_STEP, _WHOLE_PATH, ("single_step", "and_gates"), ("hash_lookup",),
        "Where no MLP uses another's output, another name's output on the paths between them changes nothing either; "
        "this sees fixed transformations of single tokens as well, which the additive ablation leaves in place.",
    ),
    _cell(
        SINGLE_STEP, _LAST, ("single_step", "parallel"), ("hash_lookup",),
        "Where every MLP adds its part, the last one alone has not the whole answer; a hash leaves it all to the last.",
    ),
    _cell(
        HASH, _PATH_SHARE, ("hash_lookup",), ("single_step", "parallel"),
        "A look-up reads the hash that earlier MLPs made, so the paths between MLPs carry what matters.",
    ),
    _cell(
        HASH, _WHOLE_PATH, ("hash_lookup",), ("single_step", "parallel"),
        "Another name's hash on the paths into the look-up gives the answer to another name.",
    ),
    _cell(
        HASH, _LAST, ("hash_lookup",), ("single_step", "parallel"),
        "A look-up in the last MLP has the whole answer in that MLP's output.",
    ),
    _cell(
        HASH, _INHERITED, ("hash_lookup",), ("single_step", "and_gates"),
        "The look-up's neurons receive a pre-activation that already tells names apart.",
    ),
    _cell(
        HASH, _AUC, ("hash_lookup",), ("class_booster",),
        "Neurons that look up still tell the class once the directions that carry it are removed from their input "
        "weights; neurons that only amplify it do not.",
    ),
    _cell(
        HASH, _RISE, ("hash_lookup",), ("parallel",),
        "A hash that knows nothing of the class leaves the probe where it was until the last layer.",
    ),
    _cell(
        HASH, _NORMS, ("hash_lookup",), _DOSES,
        "A random first MLP has no way of knowing which names are known, beyond their tokens.",
    ),
    _cell(
        PARALLEL, _PATH_SHARE, ("parallel",), ("hash_lookup",),
        "Layers that each look the answer up need no paths between them.",
    ),
    _cell(
        PARALLEL, _INHERITED, ("parallel",), ("hash_lookup",),
        "Layers that each look the answer up make their excess themselves.",
    ),
    _cell(
        PARALLEL, _ALONE, ("parallel",), ("single_step", "hash_lookup"),
        "Only layers that each have the answer all answer well alone.",
    ),
    _cell(
        ADDITIVE, _SCORE, ("additive",), ("single_step", "hash_lookup"),
        "A sum over parts gives the pair nothing beyond what each gives.",
    ),
    _cell(
        ADDITIVE, _SHARE, ("additive",), ("single_step", "hash_lookup"),
        "The output of a sum over parts has no variance that belongs to the pair; this says nothing for hashing, "
        "since any nonlinear layer has some.",
    ),
    _cell(
        ADDITIVE, _LINEAR, ("additive",), ("single_step", "hash_lookup"),
        "In a sum over parts no neuron responds to the pair beyond what it does for each part.",
    ),
    _cell(
        ADDITIVE, _BROKEN, ("additive",), ("single_step", "hash_lookup"),
        "In a sum over parts two names and the same names with their surnames swapped have one midpoint.",
    ),
    _cell(
        PARTIAL, _PATH_SHARE, _DOSES, ("single_step", "parallel"),
        "The look-up still reads what earlier MLPs made.",
    ),
    _cell(
        PARTIAL, _WHOLE_PATH, _DOSES, ("single_step", "parallel"),
        "Another name's hash on the paths into the look-up gives the answer to another name.",
    ),
    _cell(
        PARTIAL, _LAST, _DOSES, ("single_step", "parallel"),
        "A look-up in the last MLP has much of the answer in that MLP's output.",
    ),
    _cell(
        PARTIAL, _INHERITED, _DOSES, ("single_step", "and_gates"),
        "The look-up's neurons receive a pre-activation that already tells names apart.",
    ),
    _cell(
        PARTIAL, _AUC, _DOSES, ("class_booster",),
        "Neurons that look up still tell the class once the directions that carry it are removed.",
    ),
    _cell(
        PARTIAL, _RISE, _DOSES, ("hash_lookup", "parallel"),
        "Training moves some of the class into the first layers, which a pure hash does not have.",
    ),
    _cell(
        PARTIAL, _NORMS, _DOSES, ("hash_lookup",),
        "Training makes the first MLP answer known names, which a pure hash cannot.",
    ),
)  # fmt: skip


def hypothesis(name: str) -> Hypothesis:
    """The card of one hypothesis; KeyError with the names there are."""
    for found in HYPOTHESES:
        if found.name == name:
            return found
    raise KeyError(f"no hypothesis is called {name!r}; there are {', '.join(h.name for h in HYPOTHESES)}")


def predictions(hypothesis: str) -> tuple[Prediction, ...]:
    """The cells of one hypothesis, in the order of the catalog."""
    return tuple(p for p in PREDICTIONS if p.hypothesis == hypothesis)


def standing(*, consistent: int, inconsistent: int) -> str:
    """One word for a hypothesis from its counts of decisive verdicts; nothing is pooled.

    `survives` (some consistent, none inconsistent), `contradicted` (the converse), `disputed` (both),
    `undecided` (neither).
    """
    if consistent and inconsistent:
        return "disputed"
    return "survives" if consistent else "contradicted" if inconsistent else "undecided"
