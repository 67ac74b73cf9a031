"""Numbers as a reader wants them: the unit's own form, as many digits as the interval supports."""

from __future__ import annotations

import math

_PERCENT_WORDS = (
    "accuracy",
    "agreement",
    "baseline",
    "shared_",
    "attention",
    "layer_alone",
    "subspace_flip",
    "structure_found",
    "facts_agree",
)
_POINTS = ("path_delta_accuracy", "path_delta_accuracy_cls", "path_delta_readout_accuracy")
_INTEGER_UNITS = ("count", "layer", "rank")


def number(statistic: str, unit: str | None, value: float, low: float | None = None, high: float | None = None) -> str:
    """The value alone: "95.3 %", "−12.0 pp", "0.412 nats", "1,040"."""
    scale, suffix = _form(statistic, unit)
    if unit in _INTEGER_UNITS or statistic.startswith("n_"):
        return _signed(f"{value:,.0f}")
    decimals = _decimals(scale * value, _scaled(scale, low), _scaled(scale, high), percent=scale == 100)
    text = f"{scale * value:,.{decimals}f}"
    if value != 0 and low is None and scale == 1 and not any(c in "123456789" for c in text):
        text = f"{value:.1e}"  # a small value that is not zero must not read as zero
    return _signed(text) + suffix


def interval(statistic: str, unit: str | None, value: float, low: float | None, high: float | None) -> str:
    """The 95 % interval as "[94.1, 96.5]", in the value's unit and digits; "" where there is none."""
    if low is None or high is None:
        return ""
    scale, _ = _form(statistic, unit)
    decimals = _decimals(scale * value, scale * low, scale * high, percent=scale == 100)
    return _signed(f"[{scale * low:,.{decimals}f}, {scale * high:,.{decimals}f}]")


def full(statistic: str, unit: str | None, value: float, low: float | None, high: float | None, n: float | None) -> str:
    """Value, interval and n in one string: "95.3 % [94.1, 96.5], n = 520"."""
    parts = [number(statistic, unit, value, low, high)]
    between = interval(statistic, unit, value, low, high)
    if between:
        parts.append(" " + between)
    if n is not None:
        parts.append(f", n = {n:,.0f}")
    return "".join(parts)


def percent(fraction: float) -> str:
    """A fraction in words of text: whole percentages, one decimal where that would round to 0 or 100."""
    rounded = f"{100 * fraction:.0f}"
    if (rounded == "100" and fraction < 1) or (rounded == "0" and fraction > 0):
        rounded = f"{100 * fraction:.1f}"
    return f"{rounded} %"


def is_percent(statistic: str) -> bool:
    """Whether a statistic's fraction reads best as a percentage."""
    return any(word in statistic for word in _PERCENT_WORDS)


def _form(statistic: str, unit: str | None) -> tuple[float, str]:
    if statistic in _POINTS:
        return 100, " pp"
    if is_percent(statistic):
        return 100, " %"
    return 1, {"nats": " nats", "SD": " SD"}.get(unit or "", "")


def _decimals(value: float, low: float | None, high: float | None, *, percent: bool) -> int:
    if percent:
        return 1
    width = (high - low) if low is not None and high is not None else 0.0
    if width > 0:
        return min(max(2 - math.ceil(math.log10(width)), 0), 4)
    if value == 0 or not math.isfinite(value):
        return 0
    return min(max(2 - math.floor(math.log10(abs(value))), 0), 4)


def _scaled(scale: float, value: float | None) -> float | None:
    return None if value is None else scale * value


def _signed(text: str) -> str:
    # the typographic minus is as wide as a digit; "-0.0" would claim a sign that the digits do not show
    if not any(c in "123456789" for c in text):
        text = text.replace("-", "")
    return text.replace("-", "−")
