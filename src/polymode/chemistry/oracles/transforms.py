"""Transforms: from what a component measures to a score in [0, 1].

Names, parameters and formulas are those of REINVENT 4 (`reinvent/scoring/transforms`), so that a
user of it can carry settings over; `linear` and `custom` are ours. NaN stays NaN.
"""

import math
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field, model_validator

from polymode.chemistry.sections import Section
from polymode.metrics.dotted import function_at

__all__ = [
    "TRANSFORMS",
    "Custom",
    "DoubleSigmoid",
    "LeftStep",
    "Linear",
    "NoTransform",
    "ReverseSigmoid",
    "RightStep",
    "Sigmoid",
    "Step",
    "Transform",
]

_LN10 = math.log(10.0)
Values = Float[np.ndarray, " n"]


class _Interval(Section):
    """A transform with two ends."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)

    @model_validator(mode="after")
    def _in_order(self) -> "_Interval":
        if self.low > self.high:
            raise ValueError(f"low must be <= high, got {self.low!r} and {self.high!r}")
        return self


class NoTransform(Section):
    """The values as they are: for components whose values are scores already."""

    type: Literal["none"] = "none"

    def __call__(self, values: Values) -> Values:
        """Return the values."""
        return values


class Sigmoid(_Interval):
    r"""Rise from 0 below `low` to 1 above `high`.

    .. math:: s(x) = \left(1 + 10^{-K (x - m)}\right)^{-1}, \quad
        m = \frac{\mathrm{low} + \mathrm{high}}{2}, \quad
        K = \frac{10 k}{\mathrm{high} - \mathrm{low}}

    With the default k = 0.5, s(low) = 0.003 and s(high) = 0.997. If low = high, it is 1 above and 0
    elsewhere.
    """

    type: Literal["sigmoid"] = "sigmoid"
    k: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    """Steepness."""

    def __call__(self, values: Values) -> Values:
        """Return the scores."""
        return _rise(values, self.low, self.high, self.k)


class ReverseSigmoid(_Interval):
    """Fall from 1 below `low` to 0 above `high`: one minus `Sigmoid`."""

    type: Literal["reverse_sigmoid"] = "reverse_sigmoid"
    k: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    """Steepness."""

    def __call__(self, values: Values) -> Values:
        """Return the scores."""
        return 1.0 - _rise(values, self.low, self.high, self.k)


class DoubleSigmoid(_Interval):
    r"""Be high between `low` and `high`, where it is one half, and low outside.

    .. math:: d(x) = \begin{cases}
        \left(1 + 10^{-(x - \mathrm{low})\, c_{si} / c_{div}}\right)^{-1}
        & x < (\mathrm{low} + \mathrm{high}) / 2 \\
        1 - \left(1 + 10^{-(x - \mathrm{high})\, c_{se} / c_{div}}\right)^{-1} & \text{else}
        \end{cases}

    If coef_div = 0, it is 1 in (low, high] and 0 elsewhere.
    """

    type: Literal["double_sigmoid"] = "double_sigmoid"
    coef_div: float = Field(default=100.0, ge=0, allow_inf_nan=False)
    """Divides both steepnesses."""
    coef_si: float = Field(default=150.0, gt=0, allow_inf_nan=False)
    """Steepness of the left side."""
    coef_se: float = Field(default=150.0, gt=0, allow_inf_nan=False)
    """Steepness of the right side."""

    def __call__(self, values: Values) -> Values:
        """Return the scores."""
        left, right = values - self.low, values - self.high
        if self.coef_div == 0:
            rising, falling = _hard(left), 1.0 - _hard(right)
        else:
            rising = _sigmoid(left * (self.coef_si / self.coef_div))
            falling = 1.0 - _sigmoid(right * (self.coef_se / self.coef_div))
        return np.where(values < (self.low + self.high) / 2, rising, falling)


class Step(_Interval):
    """Be 1 in [low, high] and 0 outside."""

    type: Literal["step"] = "step"

    def __call__(self, values: Values) -> Values:
        """Return the scores."""
        return _indicator((values >= self.low) & (values <= self.high), values)


class LeftStep(Section):
    """Be 1 up to `low`, itself included, and 0 above."""

    type: Literal["left_step"] = "left_step"
    low: float = Field(allow_inf_nan=False)

    def __call__(self, values: Values) -> Values:
        """Return the scores."""
        return _indicator(values <= self.low, values)


class RightStep(Section):
    """Be 1 from `high` on, itself included, and 0 below."""

    type: Literal["right_step"] = "right_step"
    high: float = Field(allow_inf_nan=False)

    def __call__(self, values: Values) -> Values:
        """Return the scores."""
        return _indicator(values >= self.high, values)


class Linear(_Interval):
    """Rise in a straight line from 0 at `low` to 1 at `high`, and stay there."""

    type: Literal["linear"] = "linear"

    @model_validator(mode="after")
    def _apart(self) -> "Linear":
        if self.low == self.high:
            raise ValueError(f"low must be < high, got {self.low!r} for both")
        return self

    def __call__(self, values: Values) -> Values:
        """Return the scores."""
        return np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0)


class Custom(Section):
    """A function of the user's: ``f(values, **parameters)``, arrays of one length in and out."""

    type: Literal["custom"] = "custom"
    function: str
    """Dotted path, ``package.module:function``."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Passed by name."""

    @model_validator(mode="after")
    def _there(self) -> "Custom":
        function_at(self.function, name="function")
        return self

    def __call__(self, values: Values) -> Values:
        """Return the scores; what the function must not return raises."""
        function = function_at(self.function, name="function")
        scores = np.asarray(function(values.copy(), **self.parameters), dtype=np.float64)
        if scores.shape != values.shape:
            raise ValueError(f"returned shape {scores.shape} for {values.shape}")
        return scores


_KINDS = (
    NoTransform,
    Sigmoid,
    ReverseSigmoid,
    DoubleSigmoid,
    Step,
    LeftStep,
    RightStep,
    Linear,
    Custom,
)
TRANSFORMS: dict[str, Any] = {kind.model_fields["type"].default: kind for kind in _KINDS}
"""The transforms by their names."""

Transform = Annotated[
    NoTransform
    | Sigmoid
    | ReverseSigmoid
    | DoubleSigmoid
    | Step
    | LeftStep
    | RightStep
    | Linear
    | Custom,
    Field(discriminator="type"),
]
"""One of the transforms, by its `type`."""


def _rise(values: Values, low: float, high: float, k: float) -> Values:
    """Return the sigmoid of REINVENT 4, which counts in powers of ten."""
    x = values - (high + low) / 2
    return _hard(x) if high == low else _sigmoid(x * (10.0 * k / (high - low)))


def _sigmoid(x: Values) -> Values:
    """Return 1 / (1 + 10^-x); SciPy has it, too, but would cost each process its import."""
    return np.exp(-np.logaddexp(0.0, -_LN10 * x))


def _hard(x: Values) -> Values:
    """Return the limit of a sigmoid that is infinitely steep: 1 above 0."""
    return _indicator(x > 0, x)


def _indicator(holds: Any, values: Values) -> Values:
    """Return 1 where something holds, else 0; NaN where the value is NaN."""
    return np.where(np.isnan(values), np.nan, holds.astype(np.float64))
