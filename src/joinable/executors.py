"""Executors for `run_all(executor=...)` and `run_each(executor=...)`, beside the standard ones."""

from __future__ import annotations

from joinable._dask import dask_executor

__all__ = ["dask_executor"]
