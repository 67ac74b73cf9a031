"""Where the effective model stands among controls of known mechanism: verdicts from tables alone, without torch.

`verdicts` is a pure function of a run's tables; `judge_run` reads them from a run folder and writes outcomes.json;
`overall` gives each hypothesis one word without pooling anything. What is predicted of which control stands in
`rote.catalog`, fixed before any run.
"""

from __future__ import annotations

from rote.judge.outcomes import NO_LINEUP, judge_run, outcome_frame, verdicts
from rote.judge.overall import Standing, overall
from rote.judge.verdict import Ruling, decide
from rote.records.outcomes import Outcome, Position
