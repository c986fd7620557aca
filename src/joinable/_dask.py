"""The way to a dask cluster: the one file that imports `distributed`."""

from __future__ import annotations

import importlib

from joinable._check import short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor
    from typing import Protocol

    class Client(Protocol):
        """What is needed of a `distributed.Client`."""

        def get_executor(self, *, pure: bool) -> Executor: ...


__all__ = ["dask_executor"]


def dask_executor(client: Client) -> Executor:
    """Return an executor that makes its calls on the cluster of a dask client.

    The same as `client.get_executor(pure=False)`: without that option dask takes calls that look
    the same for one, and makes it once.

    Example:
        >>> from joinable import run_each
        >>> from joinable.executors import dask_executor
        >>> def add_up(client):  # one of `distributed.Client`
        ...     return sum(run_each(abs, range(1000), executor=dask_executor(client)))

    Args:
        client: Of `distributed`, and not one that is `asynchronous`. It stays yours: close it when
            you are done.

    Raises:
        ImportError: dask is not installed; `pip install joinable[dask]` does that.
        TypeError: `client` is no client, or one for an event loop.

    What is particular about it: `cancel()` gives a call up at once, also one that runs on; a call
    whose worker has died is made again by another one, so it may be made twice.
    """
    try:
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise ImportError(
            "dask_executor needs the package distributed: pip install 'joinable[dask]'"
        ) from error
    if not isinstance(client, distributed.Client):
        raise TypeError(f"client must be a distributed.Client, not {short(client)}")
    if getattr(client, "asynchronous", False):
        raise TypeError(
            "client must not be asynchronous: threads would wait for it, and stop its event loop"
        )
    executor: Executor = client.get_executor(pure=False)
    return executor
