"""What a study is told is what it does: parameters, own experiments, what is needed, settings, costs, citations."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from circuit_world import SETTINGS, cut, facts, model

import rote
from rote.asking import Recall
from rote.catalog import CIRCUIT, FACTS, STACK, TEXT, ExperimentCard, StatisticCard
from rote.errors import InputError, NotApplicable, RunError
from rote.execute import Started
from rote.experiments import ClassNeurons, KnownNorms, LocalProcessing
from rote.experiments.base import Experiment, Facts, Reading, StackExperiment, Study
from rote.experiments.cost import WINDOW, Cost, Sizes
from rote.experiments.known_facts.measure import KnownFactsExperiment
from rote.experiments.populations import entities_of
from rote.experiments.tabulator import Tabulator
from rote.facts import build_prompts
from rote.lineup import Additive, Control, PartialHash
from rote.pipeline import estimate as plan
from rote.pipeline import identity as provenance
from rote.pipeline.run import Run
from rote.report import lead_text
from rote.settings import Settings
from rote.stack import Stack

ROOT = Path(__file__).parents[2]
TINY = replace(
    SETTINGS, n_bootstrap=20, max_entities=24, n_top_heads=2, n_resamples_ablation=1, min_known=20,
    n_members=2, n_trained_members=1, n_member_bootstrap=10,
)  # fmt: skip
KNOWN = KnownFactsExperiment()


def card_of(name: str, *takes: str, statistic: str = "share", unit: str = "fraction") -> ExperimentCard:
    measured = StatisticCard(name=statistic, unit=unit, conditions=("whole",), meaning="A share.", formula="mean")
    return ExperimentCard(
        name=name,
        title="Mine",
        question="Is it so?",
        method="It is looked at.",
        source="my own",
        statistics=(measured,),
        applies_to=("model", "effective"),
        takes=takes,
    )


class KnownShare(Experiment):
    """The share of correct answers among the facts known: no circuit is needed for it."""

    card = card_of("known_share", FACTS)

    def measure(self, given: Facts, out: Tabulator) -> None:
        out.mean("share", given.known.correct, where=given.known.known, condition="whole")


class TopHeads(Experiment):
    """How many top heads there are; `takes` decides whether anyone has looked."""

    card = card_of("top_heads", CIRCUIT, statistic="n_heads", unit="count")

    def measure(self, given: Study | Facts, out: Tabulator) -> None:
        if not isinstance(given, Study):
            raise NotApplicable("no circuit was searched")
        out.value("n_heads", len(given.circuit.top_heads))


class TopHeadsUnasked(TopHeads):
    """The same, without saying that it takes a circuit."""

    card = card_of("top_heads", FACTS, statistic="n_heads", unit="count")


class OutputNorm(StackExperiment):
    """The mean norm of what a stack puts out."""

    card = card_of("output_norm", STACK, statistic="norm", unit="ratio")

    def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
        norms = stack.run_entities().output.norm(dim=-1).cpu().numpy()
        out.over(entities_of(stack, settings)).mean("norm", norms)


class Refusing(StackExperiment):
    card = card_of("refusing", STACK)

    def on_stack(self, stack: Stack, settings: Settings, out: Tabulator) -> None:
        raise NotApplicable("it never applies")


def study(
    folder: Path, *experiments: Experiment, controls: Sequence[Control] = (), begun: list[str] | None = None
) -> Run:
    def watch(event: object) -> None:
        if begun is not None and isinstance(event, Started):
            begun.append(str(event.shard))

    return rote.study(
        model(), facts(), folder=folder, settings=TINY, experiments=experiments, controls=controls, on_event=watch
    )


class TestParameters:
    def test_other_parameters_are_another_study_and_the_difference_is_shown(self, tmp_path: Path) -> None:
        first = study(tmp_path, ClassNeurons(n_permutations=20))
        with pytest.raises(RunError, match=r"experiments\.class_neurons\.n_permutations: 20 -> 3"):
            study(tmp_path, ClassNeurons(n_permutations=3))
        study(tmp_path, ClassNeurons(n_permutations=20), begun=(begun := []))
        assert not begun, "the same parameters are the same study"
        assert first.study["experiments"] == {"class_neurons": {"n_permutations": 20, "name_neurons": True}}

    def test_a_controls_parameters_count_as_well(self, tmp_path: Path) -> None:
        class Dosed(Additive):
            def __init__(self, strength: float) -> None:
                self.strength, self._cache = strength, object()

        assert study(tmp_path, KNOWN, controls=[PartialHash(10)]).study["controls"] == {
            "partial_hash_10": {"steps": 10}
        }
        assert provenance.parameters(Dosed(0.5)) == {"strength": 0.5} and provenance.parameters(Additive()) == {}
        with pytest.raises(RunError, match=r"controls\.additive\.strength"):
            study(tmp_path, KNOWN, controls=[Dosed(0.5)])

    def test_what_json_does_not_know_is_refused_by_name(self) -> None:
        @dataclass(frozen=True)
        class Odd(KnownShare):
            thing: object

        with pytest.raises(TypeError, match=r"known_share\.thing"):
            provenance.parameters(Odd(object()))


class TestOwnExperiments:
    def test_an_experiment_that_the_catalog_lacks_is_measured_judged_and_shown(self, tmp_path: Path) -> None:
        own = (KnownShare(), OutputNorm(), Refusing())
        run = study(tmp_path, *own, controls=[Additive()])
        rows = run.summary[run.summary["experiment"].isin([e.name for e in own])]
        assert set(rows[["experiment", "stack"]].itertuples(index=False, name=None)) == {
            ("known_share", "model"),
            ("output_norm", "effective"),
            ("output_norm", "additive"),
        }
        lacking = run.absent[run.absent["experiment"] == "refusing"]
        assert set(lacking["stack"]) == {"effective", "additive"} and set(lacking["reason"]) == {"it never applies"}
        page = (run.path / "report.html").read_text("utf-8")
        share = rows.loc[rows["experiment"] == "known_share", "value"].item()
        assert share == 1.0 and ">1.00</td>" in page.split('id="known_share"')[1].split("</section>")[0]
        assert all(f'<section id="{e.name}">' in page for e in own) and "it never applies" in page

    def test_one_without_a_card_is_refused_before_any_work(self, tmp_path: Path) -> None:
        class Nameless(Experiment):
            def measure(self, given: Facts, out: Tabulator) -> None:
                raise AssertionError("work was done")

        with pytest.raises(InputError, match=r"Nameless has no card.*card = "):
            study(tmp_path / "run", Nameless())
        assert not (tmp_path / "run").exists()


class TestNeeds:
    def test_known_facts_alone_searches_and_builds_nothing(self, tmp_path: Path) -> None:
        run = study(tmp_path, KNOWN, controls=[Additive()], begun=(begun := []))
        assert begun == ["known_facts/sport"]
        n_known = int(run.table("known_facts")["known"].sum())
        headline = lead_text(run.path).splitlines()[0]
        assert headline == f"The model knows {n_known} of 96 facts; where it looks them up was not asked for."
        assert "no MLP window" not in (run.path / "report.html").read_text("utf-8")
        assert set(run.outcomes["reason"]) == {"the run has no line-up"}

    def test_what_needs_a_circuit_has_it_searched(self, tmp_path: Path) -> None:
        run = study(tmp_path / "told", TopHeads(), controls=[Additive()], begun=(begun := []))
        assert begun == ["known_facts/sport", "circuit/sport", "top_heads/sport"], "no ◆ experiment, so no line-up"
        assert run.summary.query("statistic == 'n_heads'")["value"].tolist() == [2.0]
        run = study(tmp_path / "not told", TopHeadsUnasked(), begun=(begun := []))
        assert begun == ["known_facts/sport", "top_heads/sport"]
        (reason,) = run.absent["reason"]
        assert reason == "no circuit was searched"


class TestFirstTokens:
    """Every fifth athlete plays "… league" of the sport: attributes that share their first token."""

    TABLE = replace(
        cut(facts(), 12),
        facts=tuple(
            replace(f, attribute=f"{f.attribute} league") if i % 5 == 0 else f
            for i, f in enumerate(cut(facts(), 12).facts)
        ),
    )

    def test_the_circuit_has_one_class_for_those_of_one_token(self, tmp_path: Path) -> None:
        prompts = build_prompts(self.TABLE, "sport", model().tokenizer)
        assert len(prompts.sharing) == 3 and len(prompts.classes) == 6
        recall = Recall.of(model(), prompts, np.ones(len(prompts), dtype=bool), TINY)
        plain = build_prompts(cut(facts(), 12), "sport", model().tokenizer)
        assert recall.prompts.classes == tuple(f"{sport} / {sport} league" for sport in plain.classes)
        assert np.array_equal(recall.cls, plain.cls) and np.array_equal(recall.prompts.class_tokens, plain.class_tokens)

    def test_a_study_runs_and_says_what_is_one_to_the_circuit(self, tmp_path: Path) -> None:
        settings = replace(TINY, known_probability=1e-6)
        run = rote.study(
            model(), self.TABLE, folder=tmp_path / "run", experiments=[KNOWN], controls=(), settings=settings
        )
        value = run.summary.query("condition != 'two_token'").set_index("statistic")["value"]
        assert (value["n_answers"], value["n_circuit_classes"]) == (6, 3)
        assert "Its 6 answers begin with 3 different tokens" in " ".join(lead_text(run.path).split())
        answers = run.table("known_facts", "answers")
        assert answers.groupby("circuit_cls")["cls"].nunique().tolist() == [2, 2, 2]
        page = (run.path / "report.html").read_text(encoding="utf-8")
        assert "Answers that share their first token" in page
        first = rote.study(
            model(), self.TABLE, folder=tmp_path / "first", experiments=[KNOWN], controls=(),
            settings=replace(settings, answers="first_token"),
        )  # fmt: skip
        assert first.summary.query("statistic == 'n_answers'")["value"].tolist() == [3]


class TestPlan:
    @pytest.fixture(autouse=True)
    def given_costs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        costs = plan._Costs(block=1e-2, probe=1e-2, mlp=1e-3, solve=1e-1)
        monkeypatch.setattr(plan, "_costs", lambda *_: costs)

    @staticmethod
    def planned(*experiments: Experiment, controls: Sequence[Control] = ()) -> plan.Plan:
        return plan.plan(model(), facts(), relation=None, settings=TINY, experiments=experiments, controls=controls)

    @pytest.mark.parametrize("own", [KnownShare(), OutputNorm()], ids=["on the model", "on a stack"])
    def test_what_nobody_knows_is_not_estimated_and_the_total_is_a_lower_bound(self, own: Experiment) -> None:
        found = self.planned(KNOWN, own)
        (relation,) = found.relations
        assert own.name not in relation.seconds and relation.unknown == (own.name,)
        assert re.search(rf"{own.name} +not estimated", found.text()) and "\nat least" in found.text()
        whole = self.planned(*rote.EXPERIMENTS).text()
        assert "not estimated" not in whole and "at least" not in whole.splitlines()[-1]

    def test_an_experiment_says_itself_what_it_takes(self) -> None:
        class Counted(OutputNorm):
            def cost(self, sizes: Sizes) -> Cost:
                return Cost(blocks=2.0 * sizes.n_facts, names=100.0)

        (relation,) = self.planned(Counted(), controls=[Additive()]).relations
        on_stack = 100 * WINDOW * 1e-3 + plan.INTERVALS_S
        assert relation.seconds["output_norm"] == pytest.approx(2 * 96 * 1e-2 + on_stack)
        (line_up,) = (s for name, s in relation.seconds.items() if name.startswith("line-up"))
        (other,) = self.planned(OutputNorm(), controls=[Additive()]).relations
        (built,) = (s for name, s in other.seconds.items() if name.startswith("line-up"))
        assert line_up - built == pytest.approx(2 * on_stack)

    def test_no_circuit_is_planned_where_none_is_searched(self) -> None:
        assert list(self.planned(KNOWN, controls=[Additive()]).relations[0].seconds) == ["known_facts"]
        assert "circuit" in self.planned(KnownNorms()).relations[0].seconds

    def test_of_a_text_local_processing_alone_is_estimated(self) -> None:
        from reading_world import make_text

        class Other(Experiment):
            card = card_of("other", TEXT)

            def measure(self, given: Reading, out: Tabulator) -> None:
                pass

        mine = LocalProcessing(n_strings=4, n_tokens=2, context=20, lengths=(1, 4))
        found = plan.plan(model(), None, relation=None, settings=TINY, experiments=[mine, Other()], text=make_text())
        assert list(found.texts) == ["local_processing"] and "other: not estimated" in found.text()


def cited(path: Path, text: str) -> list[str]:
    """Where prose names a text EXPERIMENTS. Python's name of that tuple is not prose: in code, in quotes of its own
    ("EXPERIMENTS"), and in Markdown between backticks."""
    if path.suffix != ".py":
        prose = [re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)]
    else:
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        said = [t.string for t in tokens if t.type in (tokenize.STRING, tokenize.COMMENT)]
        prose = [re.sub(r"`[^`]*`", "", s) for s in said if s.strip("\"'") != "EXPERIMENTS"]
    return [line for part in prose for line in part.splitlines() if re.search(r"\bEXPERIMENTS\b", line)]


def files() -> Iterator[Path]:
    for folder in ("src", "docs", "calibration"):
        for suffix in ("py", "md"):
            yield from sorted((ROOT / folder).rglob(f"*.{suffix}"))


def test_no_file_cites_a_text_that_is_not_here() -> None:
    paths = list(files())
    assert len(paths) > 250 and any(re.search(r"\bEXPERIMENTS\b", p.read_text("utf-8")) for p in paths)
    found = {str(p.relative_to(ROOT)): lines for p in paths if (lines := cited(p, p.read_text("utf-8")))}
    assert found == {}


@pytest.mark.parametrize(
    ("name", "text", "n"),
    [
        ("a.py", '"""Source: EXPERIMENTS, section 4."""\n', 1),
        ("a.py", "x = 1  # as EXPERIMENTS says\n", 1),
        (
            "a.py",
            'from rote import EXPERIMENTS\nx = {"EXPERIMENTS": EXPERIMENTS}\n"""`EXPERIMENTS` holds them."""\n',
            0,
        ),
        ("a.md", "against EXPERIMENTS (it says)", 1),
        ("a.md", "`rote.EXPERIMENTS`\n```python\nfor e in EXPERIMENTS: ...\n```\n", 0),
    ],
)
def test_the_rule_tells_a_citation_from_a_name(name: str, text: str, n: int) -> None:
    assert len(cited(Path(name), text)) == n
