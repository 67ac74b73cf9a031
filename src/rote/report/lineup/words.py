"""Names of hypotheses, tests, controls and verdicts as a reader reads them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from rote.catalog import CONTROLS, HYPOTHESES
from rote.records.outcomes import Outcome

Tone: TypeAlias = Literal["for", "against", "open", "blind", "none"]

# what stands beside a mark: a reference's short name, and the code of a control that is no reference there
_MARKS = {
    "additive": ("additive", "A"),
    "single_step": ("single step", "S"),
    "and_gates": ("AND gates", "G"),
    "parallel": ("parallel", "P"),
    "hash_lookup": ("hash", "H"),
    "partial_hash_10": ("hash +10", "h10"),
    "partial_hash_100": ("hash +100", "h100"),
    "partial_hash_1000": ("hash +1,000", "h1k"),
    "class_booster": ("booster", "B"),
    "shuffled": ("shuffled", "sh"),
    "shuffled_matched": ("shuffled, matched", "sm"),
    "trained": ("trained", "T"),
}
# by statistic, or by statistic/condition where one statistic is judged under several
_TESTS = {
    "path_share/additive": ("joint part of MLP → MLP paths", "what both names do through later MLPs, as a share"),
    "path_share/resample": ("whole MLP → MLP paths", "what reaches the answer through later MLPs, as a share"),
    "mean_abs_correlation": ("same neurons for a name's facts", "mean |correlation| over unlinked facts"),
    "inherited": ("excess inherited from earlier layers", "share of the nonlinear excess"),
    "interaction_score": ("score of both names jointly", "excess in standard deviations of the score"),
    "interaction_share": ("joint part of the MLP outputs", "share of standard deviation"),
    "linear_share": ("linear neurons", "share of neurons that respond to no pair of names"),
    "broken_fraction": ("broken linear structure", "share of the distance between midpoints"),
    "auc_without_directions": ("class neurons without class directions", "AUC of the best neuron per class"),
    "early_rise": ("early rise of the probe", "share of the rise in the first half"),
    "norm_auc": ("louder for known names", "AUC of the first MLP's output norm, tokens adjusted"),
    "layer_alone": ("last layer alone", "accuracy with the last MLP alone kept"),
    "layer_alone/least": ("weakest layer alone", "accuracy with one layer's MLP kept"),
}
_VERDICTS: dict[str, tuple[str, Tone]] = {
    "consistent": ("consistent", "for"),
    "inconsistent": ("inconsistent", "against"),
    "in between": ("in between", "open"),
    "unlike all controls": ("unlike all controls", "open"),
    "not decisive": ("cannot tell", "blind"),
    "not applicable": ("not applicable", "none"),
}
_HYPOTHESES = {h.name: h for h in HYPOTHESES}
_CONTROLS = {c.name: c for c in CONTROLS}


def hypothesis_title(name: str) -> str:
    """The catalog's title; "my_own_idea" as "My own idea" where the catalog has none."""
    if name in _HYPOTHESES:
        return _HYPOTHESES[name].title
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def hypothesis_statement(name: str) -> str:
    return _HYPOTHESES[name].statement if name in _HYPOTHESES else ""


def control_title(name: str) -> str:
    return _CONTROLS[name].title if name in _CONTROLS else name.replace("_", " ")


def control_label(name: str) -> str:
    """Short enough to stand beside a mark."""
    return _MARKS[name][0] if name in _MARKS else name.replace("_", " ")


def control_code(name: str) -> str:
    """Shorter still."""
    return _MARKS[name][1] if name in _MARKS else name.replace("_", " ")


def _test(outcome: Outcome) -> tuple[str, str]:
    """Title and detail; the statistic's own name where there are no words for it."""
    plain = (outcome.statistic.replace("_", " "), "")
    return _TESTS.get(f"{outcome.statistic}/{outcome.condition}", _TESTS.get(outcome.statistic, plain))


def test_title(outcome: Outcome) -> str:
    return _test(outcome)[0]


def test_detail(outcome: Outcome) -> str:
    """What is measured, with the statistic's name in the tables."""
    words = _test(outcome)[1]
    name = outcome.statistic + (f", {outcome.condition}" if outcome.condition else "")
    return f"{words} ({name})" if words else name


def verdict_words(verdict: str) -> str:
    return _VERDICTS[verdict][0] if verdict in _VERDICTS else verdict


def verdict_tone(verdict: str) -> Tone:
    return _VERDICTS[verdict][1] if verdict in _VERDICTS else "none"


def listed(words: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""
