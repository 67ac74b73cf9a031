"""A value with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class EstimateFields(TypedDict):
    """The columns of the public format that an estimate fills."""

    value: float
    ci_low: float | None
    ci_high: float | None
    n: int | None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value, its 95 % percentile interval, and the number of observations behind it.

    The interval is None where it does not exist: one observation, or fewer than half of the resamples
    defined. `dropped` counts the resamples in which the value was undefined.
    """

    value: float
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    dropped: int = 0

    def written(self, form: str, unit: str = "") -> str:
        """The value and its interval, where there is one, in a format such as `.1%`: `12.0% [8.0%, 16.0%]`."""
        value = f"{self.value:{form}}{unit}"
        if self.ci_low is None or self.ci_high is None:
            return value
        return f"{value} [{self.ci_low:{form}}, {self.ci_high:{form}}]"

    @property
    def fields(self) -> EstimateFields:
        """For a row of the summary: `Row(..., **estimate.fields)`."""
        return {"value": self.value, "ci_low": self.ci_low, "ci_high": self.ci_high, "n": self.n}
