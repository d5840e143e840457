"""Arrays of numbers as figures and views are given them: checked once, where they come in."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..base.fields import ConfigError, require


def numbers(values: Any, name: str, *shapes: tuple[int | None, ...]) -> np.ndarray:
    """Real numbers, bools among them, as float64 of one of these shapes (None: any length; no shapes: any). What is not
    finite stays. ConfigError, which calls the array by `name`, for anything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            array = np.asarray(values)
    except Exception as error:  # ragged lists, tensors with a graph or on a GPU, and whatever `__array__` raises
        raise ConfigError(f"{name}: a {type(values).__name__} that is no array of numbers ({error})") from error
    require(array.dtype.kind in "biuf", f"{name}.dtype", str(array.dtype), "real numbers")
    fits = any(
        len(shape) == array.ndim and all(n in (None, length) for n, length in zip(shape, array.shape, strict=True))
        for shape in shapes
    )
    allowed = " or ".join(str(shape).replace("None", "any") for shape in shapes)
    require(fits or not shapes, f"{name}.shape", array.shape, allowed)
    return array.astype(np.float64)


def finite(values: np.ndarray) -> np.ndarray:
    """Values with 0 where they are not finite, which has no colour in a picture."""
    return np.where(np.isfinite(values), values, 0.0)
