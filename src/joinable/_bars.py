"""Progress bars of others: the one file that imports tqdm. rich is not imported: you bring it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from joinable._check import short, steady
from joinable._typing import override

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RichProgress", "TqdmProgress"]

T = TypeVar("T")


class _Bar(Protocol):
    """What is needed of a tqdm bar."""

    def update(self, n: int, /) -> object: ...
    def close(self) -> object: ...


class _Rich(Protocol[T]):
    """What is needed of a `rich.progress.Progress`."""

    def add_task(self, description: str, *, total: float | None) -> T: ...
    def advance(self, task_id: T, advance: float) -> object: ...
    def update(self, task_id: T, *, total: float | None) -> object: ...
    def stop_task(self, task_id: T) -> object: ...


class TqdmProgress:
    """Show each run in a bar of tqdm.

    `progress=True` is the same as `progress=TqdmProgress()`, and `progress="loading"` as
    `progress=TqdmProgress(label="loading")`.

    Example:
        >>> from joinable import run_each
        >>> from joinable.progress import TqdmProgress
        >>> def load_all(load, addresses):
        ...     bar = TqdmProgress(label="loading", unit="page", colour="green")
        ...     return list(run_each(load, addresses, progress=bar))

    Args:
        kind: The class to make a bar of, `tqdm.rich.tqdm` say. None: `tqdm.auto.tqdm`, which takes
            the terminal, or the notebook where there is one.
        label: Stands before the bar.
        options: What else the class is given, by its own names.

    Raises:
        ImportError: tqdm is not installed; `pip install 'joinable[progress]'` does that.
        TypeError: `kind` is not callable.

    The first bar of a program starts a daemon thread of tqdm's own, `tqdm_monitor`, which stays;
    `tqdm.tqdm.monitor_interval = 0` before that keeps it from it.
    """

    def __init__(
        self,
        kind: Callable[..., _Bar] | None = None,
        /,
        *,
        label: str | None = None,
        **options: object,
    ) -> None:
        """Say what a bar is to be like; `start` makes it."""
        if kind is not None and not callable(kind):
            raise TypeError(f"kind must be a class of tqdm's, not {short(kind)}")
        self._kind: Callable[..., _Bar] = _tqdm() if kind is None else kind
        self._options = {"desc": label, **options}
        self._bar: _Bar | None = None

    @override
    @steady
    def __repr__(self) -> str:
        label = self._options["desc"]
        state = "not showing" if self._bar is None else "showing"
        return f"<TqdmProgress{'' if label is None else f' {label!r}'}: {state}>"

    def start(self, total: int | None, /) -> None:
        """Show an empty bar."""
        self._bar = self._kind(total=total, **self._options)

    def advance(self, n: int, /) -> None:
        """Move it on."""
        if self._bar is not None:
            self._bar.update(n)

    def finish(self) -> None:
        """Show it a last time, and close it."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()


def _tqdm() -> Callable[..., _Bar]:
    try:
        module = importlib.import_module("tqdm.auto")
    except ImportError as error:
        raise ImportError(
            "a progress bar needs the package tqdm: pip install 'joinable[progress]'; or give "
            "progress an object of your own, with start(total), advance(n) and finish()"
        ) from error
    kind: Callable[..., _Bar] = module.tqdm
    return kind


class RichProgress:
    """Show each run as a task of a `rich.progress.Progress`.

    Example:
        >>> from joinable import run_each
        >>> from joinable.progress import RichProgress
        >>> def load_all(load, addresses):
        ...     import rich.progress
        ...     with rich.progress.Progress() as progress:
        ...         bar = RichProgress(progress, label="loading")
        ...         return list(run_each(load, addresses, progress=bar))

    Args:
        progress: It stays yours: start and stop it yourself, by a `with`. Several runs at a time
            may show in it, each with an object of this class.
        label: Stands before the bar.

    Raises:
        TypeError: `progress` is no such object.
    """

    def __init__(self, progress: _Rich[T], /, *, label: str = "") -> None:
        """Say where the run is to show; `start` adds a task there."""
        if isinstance(progress, type) or not hasattr(progress, "add_task"):
            raise TypeError(
                f"progress must be a rich.progress.Progress that you have made, not "
                f"{short(progress)}"
            )
        self._progress: _Rich[Any] = progress
        self._label = label
        self._task: Any = None
        self._total: int | None = None
        self._ended = 0

    @override
    @steady
    def __repr__(self) -> str:
        of = "" if self._total is None else f" of {self._total}"
        return f"<RichProgress {self._label!r}: {self._ended}{of} ended>"

    def start(self, total: int | None, /) -> None:
        """Add a task."""
        self._total, self._ended = total, 0
        self._task = self._progress.add_task(self._label, total=total)

    def advance(self, n: int, /) -> None:
        """Move it on."""
        self._ended += n
        self._progress.advance(self._task, n)

    def finish(self) -> None:
        """Stop its clock. Where nobody knew how many there would be: that is known now."""
        if self._task is not None:
            if self._total is None:
                self._progress.update(self._task, total=self._ended)
            self._progress.stop_task(self._task)
