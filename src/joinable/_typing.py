"""The few names that types are written with, the same in every module.

Type checkers and the documentation see all of them. At run time only `overload` and `override`
exist, as functions that do nothing: importing `typing` would add a tenth, and
`typing_extensions` a half, to the time that `import joinable` takes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import ParamSpec, Protocol, TypeVar, overload

    from typing_extensions import override

    P = ParamSpec("P")
    K = TypeVar("K")
    T = TypeVar("T")
    T_co = TypeVar("T_co", covariant=True)
    T1 = TypeVar("T1")
    T2 = TypeVar("T2")
    T3 = TypeVar("T3")
    T4 = TypeVar("T4")
    T5 = TypeVar("T5")
    T6 = TypeVar("T6")
    T7 = TypeVar("T7")
    T8 = TypeVar("T8")

    class Lock(Protocol):
        """What the library needs of a lock: of `threading.Lock`, `RLock`, or a test's own."""

        def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...
        def release(self) -> None: ...
        def locked(self) -> bool: ...
        def __enter__(self) -> bool: ...
        def __exit__(
            self,
            exc_type: type[BaseException] | None,
            exc: BaseException | None,
            traceback: TracebackType | None,
            /,
        ) -> object: ...

    class AnyLock(Protocol):
        """What a Condition needs of the lock that it is given."""

        def acquire(self) -> bool: ...
        def release(self) -> None: ...

    class SupportsOutcome(Protocol[T_co]):
        """What the library needs of a future that is not its own."""

        def cancel(self) -> bool: ...
        def cancelled(self) -> bool: ...
        def result(self, timeout: float | None = ..., /) -> T_co: ...
        def exception(self, timeout: float | None = ..., /) -> BaseException | None: ...
        def add_done_callback(self, fn: Callable[[object], object], /) -> object: ...

    class SupportsSubmit(Protocol):
        """What can run calls for `run_all` and `run_each`: any executor, whoever has made it."""

        def submit(self, fn: Callable[[], T], /) -> SupportsOutcome[T]: ...

    __all__ = [
        "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8",
        "AnyLock", "K", "Lock", "P", "SupportsOutcome", "SupportsSubmit", "T", "T_co", "overload",
        "override",
    ]  # fmt: skip
else:

    def overload(function: object) -> object:
        """Stand for `typing.overload` at run time."""
        return function

    def override(method: object) -> object:
        """Stand for `typing_extensions.override` at run time."""
        return method
