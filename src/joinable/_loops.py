"""What a task needs to be at home in an event loop; `asyncio` is imported by those who await."""

from __future__ import annotations

import contextlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Future

    from joinable._typing import T


async def await_task(task: Future[T]) -> T:
    """Wait for the task in a coroutine; whoever is cancelled there cancels it, and waits on."""
    import asyncio  # noqa: PLC0415  slow to import, and no business of those who do not await

    try:
        return await asyncio.wrap_future(task)
    except asyncio.CancelledError:
        # The wrapper has cancelled the task. It ends when it has cleaned up, and not before that
        # may its awaiter go on, however often it is cancelled.
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        task.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await ended.wait()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error from None  # it failed while it was stopped: nobody else would learn of it
        raise


def is_cancelled_error(error: BaseException) -> bool:
    """Tell whether it is asyncio's own, by which a loop stops what runs in it."""
    exceptions = sys.modules.get("asyncio.exceptions")
    return exceptions is not None and isinstance(error, exceptions.CancelledError)


def is_being_cancelled() -> bool:
    """Tell whether the coroutine that runs here was asked to stop."""
    if not in_event_loop():
        return False
    import asyncio  # noqa: PLC0415  there is a loop: it is loaded

    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


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
