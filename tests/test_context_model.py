"""Random programs of tasks, thread locals and context variables, against a plain model.

The model gives each task a dictionary of its own for what is local to it, and a copy of its
starter's for what is in the context. What a program sees, what it has closed and in which order,
must be what the model says, on every build and however the tasks share their threads.
"""

from __future__ import annotations

import functools
import itertools
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joinable import TaskGroup, ThreadLocal, bind, run_all, run_any, run_each, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Program = Sequence["Step"]

LOCALS, VARIABLES = 2, 2


class Step(NamedTuple):
    """What a task does: to a place (a thread local or a variable), or by starting tasks."""

    what: str
    place: int = 0
    inner: tuple[Any, ...] = ()  # a program, or several of them


class BoomError(Exception):
    """What ends a block or a task of a program."""


def steps(inner: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
    """Let programs be made of smaller ones."""
    places = st.integers(0, LOCALS + VARIABLES - 1)
    locals_ = st.integers(0, LOCALS - 1)
    nothing: st.SearchStrategy[tuple[()]] = st.just(())
    several = st.lists(inner, min_size=1, max_size=3).map(tuple)
    step = st.one_of(
        st.builds(Step, st.sampled_from(["get", "set"]), places, nothing),
        st.builds(Step, st.just("delete"), locals_, nothing),
        st.builds(Step, st.sampled_from(["bind", "bind and fail"]), places, inner),
        st.builds(Step, st.just("bind both"), places, inner),
        st.builds(Step, st.sampled_from(WAYS), st.just(0), several),
    )
    return st.lists(step, max_size=5).map(tuple)


WAYS = ["spawn", "run_all", "run_all one at a time", "group", "run_any", "stream", "list"]
PROGRAMS = st.recursive(st.just(()), steps, max_leaves=12)


class Names:
    """Values that no two tasks of a program have in common, the same in model and reality."""

    def __init__(self, path: tuple[int, ...]) -> None:
        self.path = path
        self.count = itertools.count()

    def __call__(self) -> str:
        return f"{'.'.join(map(str, self.path))}#{next(self.count)}"


# -------------------------------------------------------------------- the model


class Level:
    """What a place of a task has, outside of binds or in one."""

    def __init__(self, value: str | None, owned: bool) -> None:
        self.value = value
        self.owned = owned


class Model:
    """One task: what it has, what it sees, and what it has closed."""

    def __init__(self, path: tuple[int, ...], context: dict[int, str]) -> None:
        self.names = Names(path)
        self.levels = [[Level(None, owned=False)] for _ in range(LOCALS)]
        self.context = dict(context)
        self.open: list[tuple[int, str]] = []
        self.seen: list[Any] = []
        self.closed: list[str] = []
        self.children = itertools.count()

    def run(self, program: Program) -> None:
        for step in program:
            self.step(step)

    def end(self) -> None:
        """Close what is open, newest first."""
        self.closed += [value for _, value in reversed(self.open)]
        self.open.clear()

    def step(self, step: Step) -> None:
        match step.what:
            case "get":
                self.seen.append(self.get(step.place))
            case "set":
                self.set(step.place, self.names())
            case "delete":
                self.close(step.place)
            case "bind" | "bind and fail" | "bind both":
                self.bind(step)
            case _:
                self.start(step)

    def get(self, place: int) -> str:
        if place >= LOCALS:
            return self.context.get(place, "unset")
        if self.levels[place][-1].value is None:
            self.set(place, self.names())
        return str(self.levels[place][-1].value)

    def set(self, place: int, value: str) -> None:
        if place >= LOCALS:
            self.context[place] = value
            return
        self.close(place, value)
        self.open.append((place, value))

    def close(self, place: int, value: str | None = None) -> None:
        """Close what there is, and put that in its place."""
        level = self.levels[place][-1]
        if level.owned:
            self.open.remove((place, str(level.value)))
            self.closed.append(str(level.value))
        level.value, level.owned = value, value is not None

    def bind(self, step: Step) -> None:
        places = [step.place]
        if step.what == "bind both":
            places.append((step.place + 1) % (LOCALS + VARIABLES))
        before = dict(self.context)
        for place in places:
            value = self.names()
            if place < LOCALS:
                self.levels[place].append(Level(value, owned=False))
            else:
                self.context[place] = value
        self.run(step.inner)
        for place in reversed(places):
            if place < LOCALS:
                self.close(place)
                self.levels[place].pop()
            elif place in before:
                self.context[place] = before[place]
            else:
                del self.context[place]

    def start(self, step: Step) -> None:
        found: list[Any] = []
        for program in step.inner:
            child = Model((*self.names.path, next(self.children)), self.context)
            child.run(program)
            child.end()
            found.append((child.seen, child.closed))
            if step.what == "run_any":
                break
        self.seen.append(found)


# -------------------------------------------------------------------- the real thing


class Real:
    """One task of a program that is really run."""

    current: ContextVar[Real] = ContextVar("current")

    def __init__(self, world: World, path: tuple[int, ...]) -> None:
        self.world = world
        self.names = Names(path)
        self.seen: list[Any] = []
        self.closed: list[str] = []
        self.children = itertools.count()
        self.thread = 0

    def __call__(self, program: Program) -> Real:
        """Run as a task of its own."""
        self.current.set(self)
        self.thread = threading.get_ident()
        self.run(program)
        return self

    def run(self, program: Program) -> None:
        for step in program:
            self.step(step)

    def step(self, step: Step) -> None:
        place = self.world.places[step.place]
        match step.what:
            case "get":
                self.seen.append(place.get())
            case "set":
                place.set(self.names())
            case "delete":
                self.world.locals[step.place].delete()
            case "bind" | "bind and fail" | "bind both":
                self.bind(step)
            case _:
                self.start(step)

    def bind(self, step: Step) -> None:
        place = self.world.places[step.place]
        if step.what == "bind both":
            other = self.world.places[(step.place + 1) % (LOCALS + VARIABLES)]
            with bind(place, self.names(), other, self.names()):
                self.run(step.inner)
        elif step.what == "bind":
            with bind(place, self.names()):
                self.run(step.inner)
        else:
            with pytest.raises(BoomError), bind(place, self.names()):
                self.run(step.inner)
                raise BoomError

    def start(self, step: Step) -> None:
        programs = step.inner[:1] if step.what == "run_any" else step.inner
        tasks = [Real(self.world, (*self.names.path, next(self.children))) for _ in programs]
        pairs = zip(tasks, programs, strict=True)
        calls: list[Callable[[], Real]] = [functools.partial(task, each) for task, each in pairs]
        done = start(step.what, calls)
        assert done == tasks
        # Here, and not later: whoever has the outcome finds all closed.
        self.seen.append([(task.seen, task.closed) for task in done])


def start(way: str, calls: list[Callable[[], Real]]) -> list[Real]:
    if way == "group":
        with TaskGroup(max_workers=2) as group:
            tasks = [group.spawn(call) for call in calls]
        return [task.result() for task in tasks]  # pyright: ignore[reportPossiblyUnboundVariable]
    ways: dict[str, Callable[[], Iterable[Real]]] = {
        "spawn": lambda: [thread.result() for thread in [spawn(call) for call in calls]],
        "run_all": lambda: run_all(calls),
        "run_all one at a time": lambda: run_all(calls, max_workers=1),
        "run_any": lambda: [run_any(calls)],
        "stream": lambda: run_each(run, calls, max_workers=1, buffersize=2),
        "list": lambda: run_each(run, calls, max_workers=2, buffersize=None),
    }
    return list(ways[way]())


def run(call: Callable[[], Real]) -> Real:
    return call()


class World:
    """The places of one program."""

    def __init__(self) -> None:
        self.locals = [ThreadLocal(self.make, on_exit=self.close) for _ in range(LOCALS)]
        self.variables = [ContextVar(f"v{n}", default="unset") for n in range(VARIABLES)]
        self.places: list[Any] = [*self.locals, *self.variables]

    @staticmethod
    def make() -> str:
        return Real.current.get().names()

    @staticmethod
    def close(value: str) -> None:
        task = Real.current.get()  # in the context of the task
        assert threading.get_ident() == task.thread
        task.closed.append(value)


def check(program: Program) -> None:
    model = Model((), {})
    model.run(program)
    model.end()
    task = Real(World(), ())
    thread = spawn(task, program)
    thread.join()
    assert thread.result() is task
    assert (task.seen, task.closed) == (model.seen, model.closed)


@given(PROGRAMS)
@settings(max_examples=100, deadline=None)
def test_programs_see_and_close_what_the_model_says(program: Program) -> None:
    check(program)


@pytest.mark.soak
@given(PROGRAMS)
@settings(max_examples=20_000, deadline=None)
def test_many_programs_see_and_close_what_the_model_says(program: Program) -> None:
    check(program)


def test_the_model_knows_what_it_is_about() -> None:
    """One program by hand: the property would hold of programs that do nothing, too."""
    inner = (Step("get", 0), Step("set", 0), Step("get", 2), Step("set", 2))
    program = (
        Step("set", 2),
        Step("set", 0),
        Step("bind", 0, (Step("get", 0), Step("set", 0), Step("get", 0))),
        Step("run_all one at a time", 0, (inner, inner)),
        Step("get", 2),
    )
    model = Model((), {})
    model.run(program)
    model.end()
    first = (["0#0", "#0"], ["0#0", "0#1"])
    second = (["1#0", "#0"], ["1#0", "1#1"])
    assert model.seen == ["#2", "#3", [first, second], "#0"]
    assert model.closed == ["#3", "#1"]
    check(program)
