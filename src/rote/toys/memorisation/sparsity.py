"""How sparse the inside of a network is: kurtosis, participation ratio, atoms of a fitted dictionary."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import orthogonal_mp


@dataclass(frozen=True, kw_only=True)
class DictionarySettings:
    """A dictionary of atoms_per_neuron · neurons atoms, fitted by mini-batch dictionary learning with an L1 penalty.

    Its L0 is the number of atoms that orthogonal matching pursuit takes until `explained` of a state's squared norm
    is there. States are centred, and scaled to a mean squared norm of 1 before the fit.
    """

    atoms_per_neuron: float = 2.0
    penalty: float = 0.1
    explained: float = 0.9
    n_iterations: int = 3
    batch_size: int = 64


def kurtosis(values: Float[np.ndarray, "obs column"]) -> float:
    """Mean over columns of the excess kurtosis E(x − x̄)⁴ / SD⁴ − 3; columns that never vary are left out."""
    columns = np.asarray(values, dtype=float)
    centred = columns - columns.mean(0)
    variance = (centred**2).mean(0)
    varies = variance > 1e-12 * max(float(variance.max()), 1e-300)
    return float(((centred[:, varies] ** 4).mean(0) / variance[varies] ** 2).mean() - 3)


def participation_ratio(states: Float[np.ndarray, "obs neuron"]) -> float:
    """(Σλ)² / (n Σλ²) over the eigenvalues of the covariance: the fraction of dimensions used; 1 is all alike."""
    # without an eigendecomposition: Σλ is the trace, Σλ² the sum of all squared entries
    covariance = np.cov(np.asarray(states, dtype=float), rowvar=False)
    return float(np.trace(covariance) ** 2 / ((covariance**2).sum() * len(covariance)))


def dictionary_l0(
    fit: Float[np.ndarray, "obs neuron"],
    score: Float[np.ndarray, "obs neuron"],
    *,
    seed: int,
    settings: DictionarySettings | None = None,
) -> float:
    """Mean number of atoms that a state takes, as a fraction of the neurons; fitted and scored on different states."""
    settings = settings or DictionarySettings()
    mean = fit.mean(0)
    scale = np.sqrt(((fit - mean) ** 2).sum(1).mean())
    used = ((score - mean) / scale).astype(float)
    n_neurons = fit.shape[1]
    learner = MiniBatchDictionaryLearning(
        n_components=round(settings.atoms_per_neuron * n_neurons),
        alpha=settings.penalty,
        max_iter=settings.n_iterations,
        batch_size=settings.batch_size,
        fit_algorithm="cd",
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        atoms = learner.fit(((fit - mean) / scale).astype(float)).components_
    return float(_atoms_taken(used, atoms, settings.explained) / n_neurons)


def _atoms_taken(
    states: Float[np.ndarray, "obs neuron"], atoms: Float[np.ndarray, "atom neuron"], explained: float
) -> float:
    """Mean length of matching pursuit until the unexplained share is at most 1 − explained, states of no norm apart."""
    norms = np.linalg.norm(states, axis=1)
    states = states[norms > 1e-6] / norms[norms > 1e-6, None]  # one tolerance then serves all of them
    atoms = atoms / np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # pursuit ends early where atoms repeat
        codes = orthogonal_mp(atoms.T, states.T, tol=1 - explained)
    return float((np.asarray(codes).reshape(len(atoms), -1) != 0).sum(0).mean())
