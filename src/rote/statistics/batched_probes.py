"""Many multinomial logistic regressions on the same entities at once: scikit-learn's fits, a matrix product a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from threadpoolctl import ThreadpoolController

from rote.errors import MeasurementError, NotApplicable
from rote.statistics.probes import STRENGTHS, folds

TOLERANCE = 1e-7  # a fit ends where a step promises less than this share of its objective
MAX_STEPS = 1000
MEMORY = 5  # pairs of steps that L-BFGS remembers
_CHUNK_BYTES = 256 * 2**20  # fits that need more than this are done one group after the other
_NEVER = -1e30  # the score of a class that the fitting entities do not have; finite, since −∞ · 0 would be NaN


@dataclass(frozen=True, kw_only=True, eq=False)
class Fits:
    """Fits on the features of `standardised`: class scores of entity i are weight @ features[i] + intercept.

    `objective` = C·Σ loss + ½‖weight‖² as scikit-learn has it (for two classes of the difference of their weights).
    """

    weight: Float[np.ndarray, "fit cls feature"]
    intercept: Float[np.ndarray, "fit cls"]
    objective: Float[np.ndarray, " fit"]

    def predict(self, features: Float[np.ndarray, "entity feature"]) -> Int[np.ndarray, "fit entity"]:
        """The index of the class with the highest score, among the classes that the fit has seen."""
        n_fits, n_cls, n_features = self.weight.shape
        scores = (self.weight.reshape(n_fits * n_cls, n_features) @ features.T).reshape(n_fits, n_cls, len(features))
        return np.asarray((scores + self.intercept[:, :, None]).argmax(axis=1))


def held_out_correct(
    x: Float[np.ndarray, "entity feature"],
    cls: Int[np.ndarray, " entity"],
    tests: Sequence[Bool[np.ndarray, " entity"]],
) -> Bool[np.ndarray, "split entity"]:
    """Per split, whether a probe fitted on the entities outside `tests` is right, for every entity.

    C is the one of STRENGTHS that predicts best in three stratified folds within the fitting entities, the strongest
    penalty among equals. *Choice*: inputs are standardised once, on all entities given, not on the fitting ones of
    each fit; the labels of testing entities are not looked at. All fits then share their features, and an L2 penalty
    does not see a rotation of these. Raises NotApplicable where some fitting entities are all of one class,
    MeasurementError where a fit does not converge.
    """
    features, trains = standardised(x), [~np.asarray(test) for test in tests]
    held = [fold for train in trains for fold in folds(cls, train)]
    inner = np.array([train for train in trains for _ in range(3)]) & ~np.array(held)
    with _threads().limit(limits=1):  # half of a step is no matrix product, and the products are small
        fits = fit(features, cls, np.repeat(inner, len(STRENGTHS), axis=0), np.tile(STRENGTHS, len(inner)))
        right = _correct(fits, features, cls).reshape(len(inner), len(STRENGTHS), -1) & np.array(held)[:, None]
        totals = right.sum(axis=2).reshape(len(trains), 3, len(STRENGTHS)).sum(axis=1)
        strengths = np.array(STRENGTHS)[totals.argmax(axis=1)]
        return _correct(fit(features, cls, np.array(trains), strengths), features, cls)


@cache
def _threads() -> ThreadpoolController:
    """The libraries whose threads can be limited; looking for them takes as long as a few fits."""
    return ThreadpoolController()


def standardised(x: Float[np.ndarray, "entity feature"]) -> Float[np.ndarray, "entity component"]:
    """Each feature with mean 0 and SD 1 over the entities (0 where it is constant), along its principal axes.

    At most as many components as entities. Fits with an L2 penalty are the same in these coordinates, and their
    curvature is nearly diagonal in them.
    """
    x = np.asarray(x, dtype=float)
    scale = x.std(axis=0)
    varies = scale > 10 * np.finfo(float).eps * np.abs(x).max(axis=0, initial=0.0)
    scaled = (x - x.mean(axis=0))[:, varies] / scale[varies]
    if scaled.shape[1] > len(scaled):
        # U√Λ of the small Gram matrix has the same inner products between entities, so the same fits
        values, axes = np.linalg.eigh(scaled @ scaled.T)
        return np.asarray(axes * np.sqrt(np.maximum(values, 0.0)))
    return np.asarray(scaled @ np.linalg.eigh(scaled.T @ scaled)[1])


def fit(
    features: Float[np.ndarray, "entity feature"],
    cls: Int[np.ndarray, " entity"],
    train: Bool[np.ndarray, "fit entity"],
    strength: Float[np.ndarray, " fit"],
) -> Fits:
    """argmin C·Σ over train of −log softmax(scores)[cls] + ½‖weight‖², the intercept free, for each fit.

    Two classes have one vector of weights, their difference, as in scikit-learn. Classes are indices of
    np.unique(cls). Raises NotApplicable where a fit has one class only, MeasurementError where one does not converge
    in MAX_STEPS steps.
    """
    classes, index = np.unique(cls, return_inverse=True)
    one_hot = (index == np.arange(len(classes))[:, None]).astype(float)
    counts = train.astype(float) @ one_hot.T
    if ((counts > 0).sum(axis=1) < 2).any():
        raise NotApplicable("the fitting entities are all of one class; at least two classes are needed")
    bytes_each = 8 * len(classes) * ((2 * MEMORY + 8) * (features.shape[1] + 1) + 4 * len(features))
    size = max(_CHUNK_BYTES // bytes_each, 1)
    groups = [slice(start, start + size) for start in range(0, len(train), size)]
    parts = [_Problem(features, one_hot, train[g], counts[g], np.asarray(strength)[g]).solve() for g in groups]
    return Fits(
        weight=np.concatenate([p.weight for p in parts]),
        intercept=np.concatenate([p.intercept for p in parts]),
        objective=np.concatenate([p.objective for p in parts]),
    )


def _correct(
    fits: Fits, features: Float[np.ndarray, "entity feature"], cls: Int[np.ndarray, " entity"]
) -> Bool[np.ndarray, "fit entity"]:
    return np.asarray(np.unique(cls)[fits.predict(features)] == cls)


class _Problem:
    """L-BFGS on a group of fits side by side, each with its own step; parameters are [fit, cls·(feature + 1)].

    The last feature is 1, for the intercept, and carries no penalty. Finished fits leave the group.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "entity feature"],
        one_hot: Float[np.ndarray, "cls entity"],
        train: Bool[np.ndarray, "fit entity"],
        counts: Float[np.ndarray, "fit cls"],
        strength: Float[np.ndarray, " fit"],
    ) -> None:
        self.inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1)
        self.one_hot, self.n_fits, self.n_cls = one_hot, len(train), len(one_hot)
        # two weight vectors w/2 and −w/2 have half the penalty of their difference w
        self.factor = np.where((counts > 0).sum(axis=1) == 2, 0.5, 1.0)
        # testing entities weigh 0 and are not cut out: all fits then share one matrix of features
        self.mask = train * (strength * self.factor)[:, None]
        self.absent = np.where(counts > 0, 0.0, _NEVER)
        self.start = np.zeros((self.n_fits, self.n_cls, self.inputs.shape[1]))
        # log shares of the classes: the best intercepts as long as all weights are 0
        present = np.where(counts > 0, counts, 1.0)
        self.start[:, :, -1] = np.log(present / present.sum(axis=1, keepdims=True))
        # curvature where all classes are equally likely, in the directions of `standardised`
        share = train.mean(axis=1) * strength * self.factor / self.n_cls
        curvature = share[:, None] * np.square(self.inputs).sum(axis=0)
        curvature[:, :-1] += 1.0
        self.scale = np.tile(1 / curvature, (1, self.n_cls))

    def value(
        self, point: Float[np.ndarray, "fit param"], which: Int[np.ndarray, " fit"]
    ) -> tuple[Float[np.ndarray, " fit"], Float[np.ndarray, "fit param"]]:
        """Objective and gradient of some of the fits."""
        n, width = len(which), self.inputs.shape[1]
        scores = (point.reshape(-1, width) @ self.inputs.T).reshape(n, self.n_cls, -1)
        scores += self.absent[which][:, :, None]
        scores -= scores.max(axis=1, keepdims=True)
        right = np.einsum("fce,ce->fe", scores, self.one_hot)  # before exp overwrites the scores
        probs = np.exp(scores, out=scores)
        total = probs.sum(axis=1)
        mask = self.mask[which]
        loss = np.einsum("fe,fe->f", np.log(total) - right, mask)
        probs *= (mask / total)[:, None]
        probs -= self.one_hot * mask[:, None]
        gradient = (probs.reshape(-1, probs.shape[2]) @ self.inputs).reshape(n, self.n_cls, width)
        weight = point.reshape(n, self.n_cls, width)[:, :, :-1]
        gradient[:, :, :-1] += weight
        return loss + 0.5 * np.einsum("fcj,fcj->f", weight, weight), gradient.reshape(n, -1)

    def solve(self) -> Fits:
        found: np.ndarray = self.start.reshape(self.n_fits, -1).copy()
        objective = np.zeros(self.n_fits)
        which = np.arange(self.n_fits)
        state = _State.start(found.copy(), *self.value(found, which), self.scale)
        for _ in range(MAX_STEPS):
            # not by the gradient, which has no scale of its own: this is in the objective's unit
            done = state.promise <= TOLERANCE * np.abs(state.loss)
            if done.any():
                found[which[done]], objective[which[done]] = state.point[done], state.loss[done]
                which, state = which[~done], state.take(~done)
            if not len(which):
                break
            trial = state.point + state.step[:, None] * state.direction
            state.advance(trial, *self.value(trial, which))
        else:
            raise MeasurementError(f"{len(which)} of {self.n_fits} probes did not converge in {MAX_STEPS} steps")
        weight, intercept = found.reshape(self.start.shape)[:, :, :-1], found.reshape(self.start.shape)[:, :, -1]
        return Fits(weight=weight, intercept=intercept + self.absent, objective=objective / self.factor)


@dataclass(kw_only=True, eq=False)
class _State:
    """Where each fit stands, the step it tries next, and what it remembers of its curvature."""

    point: Float[np.ndarray, "fit param"]
    loss: Float[np.ndarray, " fit"]
    gradient: Float[np.ndarray, "fit param"]
    scale: Float[np.ndarray, "fit param"]
    direction: Float[np.ndarray, "fit param"]
    step: Float[np.ndarray, " fit"]
    promise: Float[np.ndarray, " fit"]  # what the quadratic model says the objective can still fall
    moves: list[Float[np.ndarray, "fit param"]]
    turns: list[Float[np.ndarray, "fit param"]]
    inverse: list[Float[np.ndarray, " fit"]]  # 1 / (move · turn), 0 where a fit did not move

    @classmethod
    def start(cls, point: np.ndarray, loss: np.ndarray, gradient: np.ndarray, scale: np.ndarray) -> _State:
        direction = -scale * gradient
        return cls(
            point=point,
            loss=loss,
            gradient=gradient,
            scale=scale,
            direction=direction,
            step=np.ones(len(point)),
            promise=-_dot(direction, gradient) / 2,
            moves=[],
            turns=[],
            inverse=[],
        )

    def take(self, keep: Bool[np.ndarray, " fit"]) -> _State:
        kept: dict[str, Any] = {
            name: [v[keep] for v in value] if isinstance(value, list) else value[keep]
            for name, value in vars(self).items()
        }
        return _State(**kept)

    def advance(self, trial: np.ndarray, loss: np.ndarray, gradient: np.ndarray) -> None:
        """Accept the trial where it falls enough (Armijo), else halve that fit's step."""
        # near the optimum the fall is lost in rounding; without the last term a step would be halved for ever
        enough = 1e-4 * self.step * _dot(self.direction, self.gradient) + 1e-12 * np.abs(self.loss)
        accepted = loss <= self.loss + enough
        self.step = np.where(accepted, 1.0, self.step / 2)
        if not accepted.any():
            return
        moved = accepted[:, None]  # the others remember a pair of zeros, which changes nothing in `_two_loops`
        self.moves.append(np.where(moved, trial - self.point, 0.0))
        self.turns.append(np.where(moved, gradient - self.gradient, 0.0))
        curvature = _dot(self.moves[-1], self.turns[-1])
        self.inverse.append(np.divide(1.0, curvature, out=np.zeros_like(curvature), where=curvature > 1e-300))
        del self.moves[:-MEMORY], self.turns[:-MEMORY], self.inverse[:-MEMORY]
        self.point = np.where(moved, trial, self.point)
        self.loss, self.gradient = np.where(accepted, loss, self.loss), np.where(moved, gradient, self.gradient)
        direction = self._two_loops()
        self.direction = np.where(moved, direction, self.direction)
        self.promise = np.where(accepted, -_dot(self.direction, self.gradient) / 2, self.promise)

    def _two_loops(self) -> Float[np.ndarray, "fit param"]:
        """−H·gradient by L-BFGS (Nocedal 1980), H₀ the diagonal `scale`."""
        q, alphas = self.gradient.copy(), []
        for move, turn, inverse in zip(self.moves[::-1], self.turns[::-1], self.inverse[::-1], strict=True):
            alphas.append(inverse * _dot(move, q))
            q -= alphas[-1][:, None] * turn
        q *= self.scale
        for move, turn, inverse, alpha in zip(self.moves, self.turns, self.inverse, alphas[::-1], strict=True):
            q += (alpha - inverse * _dot(turn, q))[:, None] * move
        return -q


def _dot(a: Float[np.ndarray, "fit param"], b: Float[np.ndarray, "fit param"]) -> Float[np.ndarray, " fit"]:
    return np.asarray(np.einsum("fp,fp->f", a, b))
