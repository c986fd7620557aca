"""What a task needs to be at home in an event loop; `asyncio` is imported by those who await."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from joinable._typing import T


def await_future(future: Future[T]) -> Generator[object, None, T]:
    """Wait for the future in a coroutine of the running loop."""
    import asyncio  # noqa: PLC0415  slow to import, and no business of those who do not await

    return asyncio.wrap_future(future).__await__()


def in_event_loop() -> bool:
    """Tell whether the calling thread is one that runs an event loop."""
    # A loop can run here only if somebody has imported asyncio.
    events = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None  # noqa: SLF001  the public one raises


def as_runtime_error(error: StopIteration) -> RuntimeError:
    """Make of a StopIteration what PEP 479 makes of one that leaves a coroutine."""
    converted = RuntimeError("the call of a task raised StopIteration")
    converted.__cause__ = error
    return converted
