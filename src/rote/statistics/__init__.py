"""Intervals, comparisons, fixed effects and baselines: pure functions of arrays, with explicit generators."""

from __future__ import annotations

from rote.statistics.bootstrap import Bootstrap, ObservationBootstrap, PigeonholeBootstrap
from rote.statistics.comparisons import cohens_d
from rote.statistics.estimates import Estimate, EstimateFields
from rote.statistics.power_law import exponent, mean_of_runs
from rote.statistics.prediction_interval import new_member
from rote.statistics.proportions import clopper_pearson
from rote.statistics.randomness import rng, stratified_halves, stratified_sample
from rote.statistics.ranks import aucs_of_ranks, average_ranks, mann_whitney_p
from rote.statistics.token_baselines import (
    additive_fit,
    additive_held_out,
    baseline_first,
    baseline_last,
    baseline_majority,
)
from rote.statistics.two_way import (
    TwoWay,
    TwoWayFit,
    adjusted_by_fixed_effects,
    two_way_least_squares,
    two_way_main_effects,
)
from rote.statistics.weighted import (
    balanced_accuracy,
    weighted_auc,
    weighted_cohens_d,
    weighted_mean,
    weighted_median,
)
