"""Numbers as a reader wants them: the unit's own form, as many digits as the interval supports."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rote.catalog.types import Shown

_INTEGER_UNITS = ("count", "layer", "rank")


@dataclass(frozen=True, kw_only=True)
class Form:
    """How the numbers of a statistic are written: its unit, and how a reader reads a fraction."""

    unit: str | None = None
    shown: Shown = "plain"

    @property
    def scale(self) -> float:
        return 1 if self.shown == "plain" else 100

    @property
    def suffix(self) -> str:
        return {"percent": " %", "points": " pp"}.get(
            self.shown, {"nats": " nats", "SD": " SD"}.get(self.unit or "", "")
        )


PLAIN, PERCENT = Form(), Form(shown="percent")


def number(form: Form, value: float, low: float | None = None, high: float | None = None) -> str:
    """The value alone: "95.3 %", "−12.0 pp", "0.412 nats", "1,040"."""
    scale = form.scale
    if form.unit in _INTEGER_UNITS:
        return _signed(f"{value:,.0f}")
    decimals = _decimals(scale * value, _scaled(scale, low), _scaled(scale, high), percent=scale == 100)
    text = f"{scale * value:,.{decimals}f}"
    if value != 0 and low is None and scale == 1 and not any(c in "123456789" for c in text):
        text = f"{value:.1e}"  # a small value that is not zero must not read as zero
    return _signed(text) + form.suffix


def interval(form: Form, value: float, low: float | None, high: float | None) -> str:
    """The 95 % interval as "[94.1, 96.5]", in the value's unit and digits; "" where there is none."""
    if low is None or high is None:
        return ""
    scale = form.scale
    decimals = _decimals(scale * value, scale * low, scale * high, percent=scale == 100)
    return _signed(f"[{scale * low:,.{decimals}f}, {scale * high:,.{decimals}f}]")


def full(form: Form, value: float, low: float | None, high: float | None, n: float | None) -> str:
    """Value, interval and n in one string: "95.3 % [94.1, 96.5], n = 520"."""
    parts = [number(form, value, low, high)]
    between = interval(form, value, low, high)
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
