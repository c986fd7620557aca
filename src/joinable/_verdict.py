"""What leaving a group raises, of all that has gone wrong in it."""

from __future__ import annotations

from joinable import _chain, _frames
from joinable._loops import is_cancelled_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


__all__ = ["decide", "raise_verdict", "say_calls", "say_places"]

_BARE = (KeyboardInterrupt, SystemExit, GeneratorExit)


def decide(
    name: str, errors: list[BaseException], exc: BaseException | None
) -> BaseException | None:
    """Return what is to be raised: all errors in one group, or the first that goes bare.

    The others are the context of that one. `exc` is on its way out of the block; None: nothing.
    """
    if not errors:
        return None
    bare = next((error for error in errors if _goes_bare(error, exc)), None)
    if bare is None:
        return BaseExceptionGroup(_say(name, errors), errors)
    # A second Ctrl-C tells nothing new of the first.
    told = KeyboardInterrupt if isinstance(bare, KeyboardInterrupt) else ()
    rest = [error for error in errors if error is not bare and not isinstance(error, told)]
    if rest:
        context = BaseExceptionGroup(_say(name, rest), rest)
        context.__context__ = bare.__context__  # of a group in this one: told nowhere else
        bare.__context__ = context
    return bare


def raise_verdict(verdict: BaseException | None, exc: BaseException | None) -> None:
    """Raise it, where it is not what leaves the block anyway."""
    if verdict is None:
        if exc is None:
            _chain.checkpoint()  # the calls may have been stopped by a scope around us
        return
    if verdict is exc:
        return
    context = verdict.__context__
    try:
        raise verdict
    finally:
        verdict.__context__ = context  # after `raise`, which sets it to what is being handled
        del verdict, context, exc


def _goes_bare(error: BaseException, exc: BaseException | None) -> bool:
    # The last is for the event loop that runs the block.
    return isinstance(error, _BARE) or (error is exc and is_cancelled_error(error))


def _say(name: str, errors: list[BaseException]) -> str:
    return f"{name}: {len(errors)} error{'s' if len(errors) != 1 else ''}"


def say_calls(runners: Iterable[_frames.Runner]) -> str:
    """Tell the names of calls, and where their threads are."""
    return say_places((name, _frames.where(ident, origin)) for name, ident, origin in runners)


def say_places(places: Iterable[tuple[str, str | None]]) -> str:
    """Tell the names of calls, and where each of them is."""
    return "; ".join(f"{name} {place or 'at its end'}" for name, place in places)
