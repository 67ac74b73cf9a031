"""How many bits a network has stored of facts that nothing but rote can give."""

from __future__ import annotations

from math import log2


def entropy(p: float) -> float:
    """Entropy, in bits, of a coin that shows one side with probability p."""
    return 0.0 if p in (0.0, 1.0) else -p * log2(p) - (1 - p) * log2(1 - p)


def stored_bits(n_facts: int, accuracy: float, n_classes: int = 2) -> float:
    """Bits that answers of this accuracy tell of random classes; none at chance or below.

    n · (log₂ K − H(a) − (1 − a) · log₂(K − 1)), which is n · (1 − H(a)) for two classes: the mutual information of
    answer and class where wrong answers are spread evenly. Raises ValueError for an accuracy outside 0 to 1, or fewer
    than two classes.
    """
    if not 0 <= accuracy <= 1 or n_classes < 2:
        raise ValueError(f"accuracy {accuracy} of {n_classes} classes: expected a fraction and at least two classes")
    if accuracy <= 1 / n_classes:
        return 0.0
    return n_facts * (log2(n_classes) - entropy(accuracy) - (1 - accuracy) * log2(n_classes - 1))
