"""Every bytecode instruction of the watched code as a point.

By local events of `sys.monitoring` on 3.12 and later: only watched code pays. By tracing on 3.11.
An instruction that only moves values inside its own frame shares the point of the next one, for
no other thread can tell the difference; that halves the schedules and loses none.
"""

from __future__ import annotations

import dis
import inspect
import sys
import threading
from contextlib import contextmanager
from types import CodeType, FrameType, ModuleType
from typing import TYPE_CHECKING, Any, cast

from joinable.testing import _real, _scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

#: Instructions that touch nothing another thread can see. Not among them: what may run a finalizer
#: or a method of the user (stores, pops, tests of truth before 3.13), calls, returns.
_LOCAL = frozenset(
    {
        "ASYNC_GEN_WRAP", "CACHE", "COPY", "COPY_FREE_VARS", "EXTENDED_ARG", "JUMP_BACKWARD",
        "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_FORWARD", "KW_NAMES", "LOAD_CLOSURE",
        "LOAD_COMMON_CONSTANT", "LOAD_CONST", "LOAD_FAST", "LOAD_FAST_AND_CLEAR",
        "LOAD_FAST_BORROW", "LOAD_FAST_BORROW_LOAD_FAST_BORROW", "LOAD_FAST_CHECK",
        "LOAD_FAST_LOAD_FAST", "LOAD_SMALL_INT", "MAKE_CELL", "MAKE_FUNCTION", "NOP", "NOT_TAKEN",
        "POP_EXCEPT", "PRECALL", "PUSH_EXC_INFO", "PUSH_NULL", "RESUME", "SWAP", "TO_BOOL_BOOL",
        "UNARY_NOT_BOOL", "POP_JUMP_IF_NONE", "POP_JUMP_IF_NOT_NONE", "POP_JUMP_FORWARD_IF_NONE",
        "POP_JUMP_FORWARD_IF_NOT_NONE", "POP_JUMP_BACKWARD_IF_NONE", "BUILD_TUPLE", "IS_OP",
        "POP_JUMP_BACKWARD_IF_NOT_NONE", "LOAD_ASSERTION_ERROR", "LOAD_BUILD_CLASS",
    }
    # From 3.13 on a jump on truth only ever sees a bool, made by TO_BOOL before it.
    | ({"POP_JUMP_IF_FALSE", "POP_JUMP_IF_TRUE"} if sys.version_info >= (3, 13) else set[str]())
)  # fmt: skip


def codes_of(watch: Iterable[object]) -> list[CodeType]:
    """Collect the code of modules, classes and functions, with all that is nested in it.

    Raises:
        TypeError: An item is none of these, or has no Python code.
    """
    found: dict[int, CodeType] = {}
    for item in watch:
        codes = list(_codes(item, set()))
        if not codes:
            raise TypeError(
                f"watch= takes modules, classes and functions written in Python, not {item!r}"
            )
        found.update((id(code), code) for code in codes)
    return list(found.values())


def _codes(item: object, seen: set[int]) -> Iterator[CodeType]:
    if id(item) in seen:  # a class may refer to itself
        return
    seen.add(id(item))
    if isinstance(item, (ModuleType, type)):
        for value in _members(item):
            yield from _codes(value, seen)
    elif isinstance(item, property):
        for part in (item.fget, item.fset, item.fdel):
            yield from _codes(part, seen)
    else:
        function: Any = inspect.unwrap(item) if callable(item) else item
        for name in ("__func__", "func"):  # static and class methods, bound ones; cached_property
            function = getattr(function, name, function)
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            yield from _nested(code)


def _members(item: ModuleType | type) -> Iterator[object]:
    """Yield what a module or a class defines, not what it has only imported."""
    home = item.__name__ if isinstance(item, ModuleType) else item.__module__
    for value in list(vars(item).values()):
        if isinstance(value, ModuleType):
            if value.__name__.startswith(f"{home}."):  # a part of this package
                yield value
            continue
        # A class that a class only names is not meant; but the descriptors of a class may name the
        # module of their own type.
        asked = isinstance(item, ModuleType) or isinstance(value, type)
        if not asked or getattr(value, "__module__", home) == home:
            yield value


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _local_offsets(code: CodeType) -> frozenset[int]:
    return frozenset(i.offset for i in dis.get_instructions(code) if i.opname in _LOCAL)


@contextmanager
def points_in(codes: list[CodeType]) -> Generator[None]:
    """Make every instruction of `codes` a point, for the strand that runs."""
    if not codes:
        yield
    elif sys.version_info >= (3, 12):
        with _monitored(codes):
            yield
    else:
        with _traced(codes):
            yield


if sys.version_info >= (3, 12):

    @contextmanager
    def _monitored(codes: list[CodeType]) -> Generator[None]:
        monitoring = sys.monitoring
        tool = _free_tool()
        local = {id(code): _local_offsets(code) for code in codes}
        disable = monitoring.DISABLE
        get_ident = _real.get_ident

        def on_instruction(code: CodeType, offset: int) -> object:
            if offset in local[id(code)]:
                return disable
            scheduler = _scheduler.active
            if scheduler is not None and scheduler.ident == get_ident():
                scheduler.point()
            return None

        monitoring.use_tool_id(tool, "joinable.testing.explore")
        try:
            monitoring.register_callback(tool, monitoring.events.INSTRUCTION, on_instruction)
            for code in codes:
                monitoring.set_local_events(tool, code, monitoring.events.INSTRUCTION)
            yield
        finally:
            for code in codes:
                monitoring.set_local_events(tool, code, 0)
            monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
            monitoring.free_tool_id(tool)
            # Locations disabled here must not stay so for the next exploration.
            monitoring.restart_events()

    def _free_tool() -> int:
        """Pick a tool id that nobody uses; 0, 1, 2 and 5 have customary owners, so last."""
        for tool in (4, 3, 5, 2, 0, 1):
            if sys.monitoring.get_tool(tool) is None:
                return tool
        raise RuntimeError(
            "explore(watch=) needs one of the six tool ids of sys.monitoring, and all are in use"
        )

else:

    @contextmanager
    def _traced(codes: list[CodeType]) -> Generator[None]:
        local = {id(code): _local_offsets(code) for code in codes}
        before: Callable[..., Any] | None = threading.gettrace()

        def on_opcode(frame: FrameType, event: str, _arg: object) -> Any:
            if event == "opcode" and frame.f_lasti not in local[id(frame.f_code)]:
                scheduler = _scheduler.active
                if scheduler is not None and scheduler.ident == _real.get_ident():
                    scheduler.point()
            return on_opcode

        def on_call(frame: FrameType, event: str, arg: object) -> Any:
            if id(frame.f_code) not in local:
                return None if before is None else before(frame, event, arg)
            frame.f_trace_lines = False
            frame.f_trace_opcodes = True
            return on_opcode

        # Thread._bootstrap_inner installs this in every thread, after boot; what was there before
        # (a coverage tool) goes on seeing all code that is not watched.
        threading.settrace(on_call)
        try:
            yield
        finally:
            threading.settrace(cast("Any", before))
