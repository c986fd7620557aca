"""`ThreadPool` as the pool of dask."""

from __future__ import annotations

import importlib
import operator
from typing import Any

import pytest

from joinable import ThreadPool

dask: Any = importlib.import_module("dask")  # of which the type checkers know nothing


def total(count: int) -> Any:
    """Return the sum of so many numbers, as a tree of additions that dask has to schedule."""
    parts = [dask.delayed(operator.mul)(number, 2) for number in range(count)]
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [dask.delayed(operator.add)(*pair) for pair in pairs]
    return parts[0]


def test_dask_computes_with_it_as_its_scheduler() -> None:
    with ThreadPool(3) as pool:
        (result,) = dask.compute(total(64), scheduler=pool)
    assert result == 64 * 63


def test_dask_computes_with_it_as_its_pool() -> None:
    with ThreadPool(3) as pool, dask.config.set(pool=pool, scheduler="threads"):
        (result,) = dask.compute(total(64))
    assert result == 64 * 63


def test_an_error_comes_out_of_dask() -> None:
    with ThreadPool(2) as pool, pytest.raises(ZeroDivisionError):
        dask.compute(dask.delayed(divmod)(1, 0), scheduler=pool)
