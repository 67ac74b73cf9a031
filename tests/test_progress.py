"""How far a study is: the estimate of what is left, plain lines where nobody watches, a bar on a terminal."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from rote.cli.progress import Narrator, TimeLeft, in_words, kind_of
from rote.execute import Finished, Planned, Started, Waiting
from rote.records import Shard

MEMBERS = [Shard("lineup", f"a/b/additive/{seed}") for seed in range(4)]


def test_shards_of_one_kind_take_about_as_long() -> None:
    assert {kind_of(shard) for shard in MEMBERS} == {"member of additive"}
    assert kind_of(Shard("lineup", "a/b/additive")) == "control"
    assert kind_of(Shard("readout", "sport")) == "readout"


def test_what_is_left_is_known_from_what_is_done() -> None:
    estimate = TimeLeft()
    estimate.plan(MEMBERS)
    assert estimate.seconds is None
    estimate.finished(MEMBERS[0], 10.0)
    assert estimate.seconds == pytest.approx(30.0) and estimate.n_left == 3
    estimate.finished(MEMBERS[1], 20.0)
    assert estimate.seconds == pytest.approx(30.0)  # two left at 15 s


def test_what_has_not_been_timed_costs_what_it_usually_does_beside_the_rest() -> None:
    slow, fast = TimeLeft(), TimeLeft()
    for estimate, seconds in ((slow, 100.0), (fast, 1.0)):
        estimate.plan([Shard("known_facts"), Shard("circuit")])
        estimate.finished(Shard("known_facts"), seconds)
    assert slow.seconds == pytest.approx(100 * (fast.seconds or 0)) and (fast.seconds or 0) > 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.2, "about 1 s left"),
        (89, "about 89 s left"),
        (240, "about 4 min left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_in_words(seconds: float | None, words: str) -> None:
    assert in_words(seconds) == words


def told(narrator: Narrator) -> None:
    with narrator:
        narrator(Waiting(reason="in use by process 7"))
        narrator(Planned(stage="lining up", shards=MEMBERS[:2], ahead=MEMBERS[2:]))
        narrator(Started(shard=MEMBERS[0]))
        narrator(Finished(shard=MEMBERS[0], seconds=60.0))
        logging.getLogger("rote.records.folder").warning("a [record] is damaged")
        narrator(Planned(stage="tables, verdicts and report", shards=()))


def test_plain_lines_where_nobody_watches() -> None:
    out = io.StringIO()
    told(Narrator(console=Console(file=out, width=80)))
    assert out.getvalue().splitlines() == [
        "in use by process 7",
        "lining up: 2 to do",
        "   60.0 s   lineup (a/b/additive/0)   3 to do, about 3 min left",
        "warning: a [record] is damaged",
        "tables, verdicts and report",
    ]


def test_quiet_is_quiet() -> None:
    out = io.StringIO()
    told(Narrator(console=Console(file=out, force_terminal=True), quiet=True))
    assert out.getvalue() == ""


def test_a_bar_with_the_time_that_is_left_on_a_terminal() -> None:
    out = io.StringIO()
    narrator = Narrator(console=Console(file=out, force_terminal=True, width=160, color_system=None))
    with narrator:
        narrator(Planned(stage="lining up", shards=MEMBERS))
        narrator(Started(shard=MEMBERS[0]))
        narrator(Finished(shard=MEMBERS[0], seconds=60.0))
        narrator(Started(shard=MEMBERS[1]))
        logging.getLogger("rote.records.folder").warning("a record is damaged")
    text = out.getvalue()
    for words in ("lining up", "1/4", "about 3 min left", "lineup/a/b/additive/1", "warning: a record is damaged"):
        assert words in text, words
    assert not logging.getLogger("rote").handlers
