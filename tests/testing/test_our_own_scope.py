# A scope may swallow what its block raises: checkers take every name bound in it for unbound after.
# pyright: reportPossiblyUnboundVariable=false
"""Scopes, callbacks, the timer and the waits of tasks under every schedule.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import contextvars
import functools
import threading
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from joinable import (
    Cancelled,
    CancelScope,
    DeadlineExceeded,
    Task,
    Thread,
    _callback,
    _chain,
    _limits,
    _park,
    _scope,
    _task,
    _thread,
    _timer,
    abandoned_threads,
    move_on_after,
    shield,
    sleep,
)
from joinable._callback import CancelCallback
from joinable.testing import ScheduleError, explore

if TYPE_CHECKING:
    from collections.abc import Callable

WAITS = (_chain, _park, _scope)
CALLBACKS = (_callback, _chain, _scope)
TIMERS = (_callback, _timer)
TASKS = (_park, _task)
THREADS = (_park, _thread)


def together(*calls: Callable[[], object]) -> None:
    """Run all but the last in threads of their own, and the last one here."""
    threads = [threading.Thread(target=call) for call in calls[:-1]]
    for thread in threads:
        thread.start()
    calls[-1]()
    for thread in threads:
        thread.join()


def at_one(call: Callable[[], object]) -> Callable[[], object]:
    """Let it be called at second 1, when all that came before it is done or waits."""

    def wait_and_call() -> None:
        time.sleep(1)
        call()

    return wait_and_call


def race(*calls: Callable[[], object]) -> None:
    """Make all calls at one moment: whoever goes first, it is not for having been started first."""
    together(*map(at_one, calls))


def inside(call: Callable[[], object]) -> Callable[[], object]:
    """Let it run in the scope that is in force here, whatever thread calls it."""
    return functools.partial(contextvars.copy_context().run, call)


def ended_by(call: Callable[[], object]) -> str:
    """Tell how a call has ended."""
    try:
        call()
    except (Cancelled, DeadlineExceeded, CancelledError) as error:
        return type(error).__name__
    return "returned"


def let_all_run() -> None:
    """Come back when all others wait or have ended: only then does the time go on."""
    time.sleep(0.001)


def to_come() -> int:
    """Count what the timer is still to call."""
    return sum(bool(entry.function) for _, _, entry in _timer._timers.heap)


class Record:
    """A callback that takes its time, and what was over when it was called."""

    def __init__(self) -> None:
        self.over: list[str] = []
        self.began: list[list[str]] = []
        self.ended: list[list[str]] = []

    def __call__(self) -> None:
        self.began.append([*self.over])
        let_all_run()
        self.ended.append([*self.over])

    def called_in_time(self) -> bool:
        """Tell whether it was called; it must not be twice, nor run when all was over."""
        assert self.ended == self.began
        assert self.began in ([], [[]])
        return bool(self.began)


# -------------------------------------------------------------------- waits


def two_sleep_while_it_is_cancelled() -> None:
    """Both wake at once, also the one that is only about to wait."""
    ends: list[str] = []
    begin = time.monotonic()
    with CancelScope() as scope:
        wait = inside(lambda: ends.append(ended_by(lambda: sleep(60))))
        race(wait, inside(lambda: ends.append(ended_by(lambda: sleep(60)))), scope.cancel)
    assert ends == ["Cancelled", "Cancelled"]
    assert time.monotonic() - begin == 1
    assert not scope._sleepers


def a_cancel_comes_with_the_end_of_a_sleep() -> None:
    """It ends either way at its time, and is in no scope's books then."""
    scope = CancelScope()

    def cancel() -> None:
        time.sleep(1)
        scope.cancel()

    def wait() -> None:
        with scope:
            ended_by(lambda: sleep(1))
            assert not scope._sleepers

    together(cancel, wait)


def a_deadline_and_a_timeout_are_one_moment() -> None:
    """The scope goes first, always."""
    with move_on_after(1) as scope:
        sleep(1)
    assert scope.cancelled_caught
    assert not scope._sleepers


def one_sleeps_in_two_scopes() -> None:
    """Whichever is cancelled first, the wait ends; each swallows its own only."""
    outer, inner = CancelScope(), CancelScope()

    def wait() -> None:
        with outer, inner:
            sleep(60)
        assert inner.cancelled_caught != outer.cancelled_caught

    race(outer.cancel, inner.cancel, wait)
    assert not outer._sleepers
    assert not inner._sleepers


# -------------------------------------------------------------------- callbacks


def a_cancel_comes_with_the_leave() -> None:
    """A callback of the scope has ended when the scope is left, or never runs."""
    record = Record()
    with CancelScope() as scope:
        scope.on_cancel(record)
        thread = threading.Thread(target=scope.cancel)
        thread.start()
    record.over.append("left")
    thread.join()
    record.called_in_time()
    assert not scope._callbacks


def a_cancel_comes_with_a_remove() -> None:
    """For each of two removers it has ended, or it never runs."""
    record = Record()
    with CancelScope() as scope:
        callback = scope.on_cancel(record)

        def remove() -> None:
            callback.remove()
            record.over.append("removed")

        race(scope.cancel, remove, remove)
    assert callback.called == record.called_in_time()


def a_remove_and_the_leave_come_with_a_cancel() -> None:
    """Leaving waits for the call, whoever else waits for it."""
    record = Record()
    with CancelScope() as scope:
        callback = scope.on_cancel(record)
        threads = [threading.Thread(target=call) for call in (scope.cancel, callback.remove)]
        for thread in threads:
            thread.start()
    record.over.append("left")
    for thread in threads:
        thread.join()
    assert callback.called == record.called_in_time()


def a_callback_removes_itself() -> None:
    """It does not wait for itself; another remover waits for it."""
    record = Record()
    with CancelScope() as scope:

        def call() -> None:
            callback.remove()
            record()

        callback = scope.on_cancel(call)

        def remove() -> None:
            callback.remove()
            record.over.append("removed")

        together(scope.cancel, remove)
    assert callback.called == record.called_in_time()


def a_cancel_comes_with_a_registration() -> None:
    """What only the callback can wake is woken, whenever the cancel comes."""
    woken = threading.Event()

    def wait() -> None:
        with scope:
            entered.set()
            with scope.on_cancel(woken.set):
                woken.wait()

    def cancel() -> None:
        entered.wait()
        scope.cancel()

    scope, entered = CancelScope(), threading.Event()
    together(cancel, wait)
    assert scope.cancelled_caught
    assert not scope._callbacks


def two_scopes_ask_for_one_call() -> None:
    """It is called once, however many of the scopes around it are cancelled."""
    record = Record()
    with CancelScope() as outer, CancelScope() as inner:
        inner.on_cancel(record)
        together(outer.cancel, inner.cancel)
    assert record.called_in_time()
    assert not outer._callbacks


def a_call_ends_with_its_block() -> None:
    """The block raises if its callback was called, and only then."""
    record = Record()

    def cancel() -> None:
        scope.cancel()

    with CancelScope() as scope:
        thread = threading.Thread(target=cancel)
        thread.start()
        with scope.on_cancel(record) as callback:
            pass
        record.over.append("block")
    thread.join()
    assert callback.called == record.called_in_time() == scope.cancelled_caught


def a_deadline_comes_with_a_remove() -> None:
    """The timer calls it, and the block is cut short; or it was removed, and is never called."""
    record = Record()
    with move_on_after(1) as scope:
        with scope.on_cancel(record) as callback:
            time.sleep(1)
        record.over.append("block")
    let_all_run()
    assert callback.called == record.called_in_time() == scope.cancelled_caught
    assert not scope._callbacks
    assert not to_come()


def a_deadline_comes_with_a_cancel() -> None:
    """Timer and canceller call it once between them, before the scope is left."""
    record = Record()

    def cancel() -> None:
        time.sleep(1)
        scope.cancel()

    with move_on_after(1) as scope:
        thread = threading.Thread(target=cancel)
        scope.on_cancel(record)
        thread.start()
        sleep(60)
    record.over.append("left")
    thread.join()
    let_all_run()
    record.called_in_time()
    assert not scope._callbacks
    assert not to_come()


def a_shield_ends_with_a_remove() -> None:
    """What was removed when its shield ends is in no scope's books, and in no timer's."""
    record = Record()
    with move_on_after(2) as outer:
        with shield(1) as inner:
            callback = inner.on_cancel(record)
            time.sleep(1)
            callback.remove()
            record.over.append("removed")
        let_all_run()
        assert not outer._callbacks
        assert not to_come()
    assert not record.called_in_time()
    assert not outer.cancelled


def a_shield_ends_before_the_deadline() -> None:
    """The scope behind it is asked from then on, at its own time."""
    calls: list[float] = []
    begin = time.monotonic()
    with move_on_after(2), shield(1) as inner:
        inner.on_cancel(lambda: calls.append(time.monotonic() - begin))
        time.sleep(3)
    assert calls == [2]


# -------------------------------------------------------------------- the timer


def the_earlier_of_two_deadlines_comes_later() -> None:
    """Each is kept at its time, in whatever order they are told to the timer."""
    begin = time.monotonic()

    def bound(seconds: float) -> None:
        ended: list[float] = []
        with move_on_after(seconds) as scope:
            scope.on_cancel(lambda: ended.append(time.monotonic() - begin))
            time.sleep(3)
        assert ended == [seconds]

    together(functools.partial(bound, 2), functools.partial(bound, 1))


def one_deadline_comes_after_the_other() -> None:
    """The second one is kept, also when the timer's thread is about to end for lack of work."""
    for _ in range(2):
        woken = threading.Event()
        with move_on_after(1) as scope, scope.on_cancel(woken.set):
            woken.wait()
        assert scope.cancelled_caught


def it_is_entered_while_another_registers() -> None:
    """Whoever finds it entered finds its deadline too."""
    scope = move_on_after(1)
    calls: list[str] = []
    registered: list[int] = []

    def register() -> None:
        try:
            scope.on_cancel(lambda: calls.append("called"))
            registered.append(1)
        except RuntimeError as error:
            assert "inside the `with`" in str(error)  # noqa: PT017  (it may also pass)

    def enter() -> None:
        with scope:
            time.sleep(2)

    together(register, enter)
    assert len(calls) == len(registered)


# -------------------------------------------------------------------- tasks and threads


def a_result_comes_with_a_cancel() -> None:
    """The waiter has the value or is cancelled, and the task forgets it."""
    task: Task[int] = Task()
    scope = CancelScope()

    def wait() -> None:
        with scope:
            assert task.result() == 7
        assert task.done() or not task._latches

    race(lambda: task.set_result(7), scope.cancel, wait)
    assert not task._latches
    assert not scope._sleepers


def a_result_comes_before_a_cancel() -> None:
    """Who waited already when it was there is not cancelled any more."""
    task: Task[int] = Task()
    scope = CancelScope()

    def end_and_cancel() -> None:
        task.set_result(7)
        scope.cancel()

    def wait() -> None:
        with scope:
            assert task.result() == 7
        assert not scope.cancelled_caught

    race(end_and_cancel, wait)


def two_join_it_in_a_scope() -> None:
    """Both wake at the end, also who is only about to wait."""
    with CancelScope():
        thread: Thread[int] = Thread(target=lambda: 7)
        thread.start()
        together(inside(thread.join), inside(thread.join))
    assert not thread.is_alive()
    assert not thread._joiners


def a_join_comes_with_a_cancel_and_the_end() -> None:
    """It returns or is cancelled; the thread forgets who waited."""
    thread: Thread[int] = Thread(target=lambda: 7)
    thread.start()
    scope = CancelScope()

    def wait() -> None:
        with scope:
            thread.join()
        assert scope.cancelled_caught or not thread.is_alive()
        assert thread._gone or not thread._joiners

    together(scope.cancel, wait)
    thread.join()
    assert not thread._joiners


def a_join_comes_before_a_cancel() -> None:
    """Who waited already when the thread ended is not cancelled any more."""
    thread: Thread[int] = Thread(target=lambda: 7)
    thread.start()
    scope = CancelScope()

    def join_and_cancel() -> None:
        thread.join()
        scope.cancel()

    def wait() -> None:
        with scope:
            thread.join()
        assert not scope.cancelled_caught

    race(join_and_cancel, wait)


def it_is_started_and_asked_to_stop() -> None:
    """It stops at once or never runs, and counts as cancelled."""
    begin = time.monotonic()
    thread: Thread[None] = Thread(target=sleep, args=(60,))
    together(thread.start, thread.cancel)
    assert ended_by(thread.result) == "CancelledError"
    assert thread.cancelled()
    thread.join()
    assert time.monotonic() == begin


def its_time_is_up_when_it_ends() -> None:
    """It is too late however it ends, and nothing of it is left when it is joined."""
    _thread._abandoned.clear()
    thread: Thread[None] = Thread(target=time.sleep, args=(2,), timeout=1)
    thread.start()
    assert ended_by(thread.result) == "DeadlineExceeded"
    thread.join()
    assert not abandoned_threads()
    let_all_run()
    assert not _thread._abandoned
    assert not to_come()


def its_time_is_up_before_it_begins() -> None:
    """It is too late, whether its call runs or not; a join in a scope ends."""
    _thread._abandoned.clear()
    moment, _thread._LAST_MOMENT = _thread._LAST_MOMENT, 0.0
    try:
        thread: Thread[None] = Thread(target=lambda: None, timeout=0)
        thread.start()
    finally:
        _thread._LAST_MOMENT = moment
    with CancelScope():
        thread.join()
    assert ended_by(thread.result) == "DeadlineExceeded"
    let_all_run()
    assert not _thread._abandoned


def it_is_asked_to_stop_when_its_time_is_up() -> None:
    """It is cancelled or too late, and stops at that moment."""
    begin = time.monotonic()
    thread: Thread[None] = Thread(target=sleep, args=(60,), timeout=1)

    def cancel() -> None:
        time.sleep(1)
        thread.cancel()

    thread.start()
    together(cancel, thread.join)
    assert ended_by(thread.result) in {"CancelledError", "DeadlineExceeded"}
    assert time.monotonic() - begin == 1
    let_all_run()
    assert not to_come()


class Model(NamedTuple):
    """A program that must hold, what is watched in it, and the preemptions within which all its
    schedules are run.
    """

    program: Callable[[], None]
    watch: tuple[object, ...]
    bound: int = 2


MODELS = [
    Model(two_sleep_while_it_is_cancelled, WAITS, 1),
    Model(a_cancel_comes_with_the_end_of_a_sleep, WAITS),
    Model(a_deadline_and_a_timeout_are_one_moment, WAITS),
    Model(one_sleeps_in_two_scopes, WAITS, 1),
    Model(a_cancel_comes_with_the_leave, CALLBACKS),
    Model(a_cancel_comes_with_a_remove, CALLBACKS, 1),
    Model(a_remove_and_the_leave_come_with_a_cancel, CALLBACKS),
    Model(a_callback_removes_itself, CALLBACKS),
    Model(a_cancel_comes_with_a_registration, CALLBACKS),
    Model(two_scopes_ask_for_one_call, CALLBACKS),
    Model(a_call_ends_with_its_block, CALLBACKS),
    Model(a_deadline_comes_with_a_remove, TIMERS),
    Model(a_deadline_comes_with_a_cancel, TIMERS, 1),
    Model(a_shield_ends_with_a_remove, TIMERS),
    Model(a_shield_ends_before_the_deadline, TIMERS),
    Model(the_earlier_of_two_deadlines_comes_later, TIMERS, 1),
    Model(one_deadline_comes_after_the_other, TIMERS, 1),
    Model(it_is_entered_while_another_registers, (_limits, *CALLBACKS)),
    Model(a_result_comes_with_a_cancel, TASKS, 1),
    Model(a_result_comes_before_a_cancel, TASKS),
    Model(two_join_it_in_a_scope, THREADS, 1),
    Model(a_join_comes_with_a_cancel_and_the_end, THREADS, 1),
    Model(a_join_comes_before_a_cancel, THREADS),
    Model(it_is_started_and_asked_to_stop, THREADS),
    Model(its_time_is_up_when_it_ends, THREADS, 1),
    Model(its_time_is_up_before_it_begins, THREADS, 0),
    Model(it_is_asked_to_stop_when_its_time_is_up, THREADS, 0),
]


def name_of(model: Model) -> str:
    return model.program.__name__


each_model = pytest.mark.parametrize("model", MODELS, ids=name_of)


@each_model
@pytest.mark.parametrize("strategy", ["pct", "random"])
def test_it_holds_with_every_bytecode_a_point(model: Model, strategy: Any) -> None:
    explore(model.program, watch=model.watch, strategy=strategy, runs=40)


@each_model
def test_it_holds_under_every_schedule_within_the_bound(model: Model) -> None:
    report = explore(model.program, strategy="dfs", preemptions=model.bound, runs=20_000)
    assert report.exhausted


@pytest.mark.soak
@each_model
@pytest.mark.parametrize("strategy", ["pct", "random"])
def test_it_holds_for_long(model: Model, strategy: Any) -> None:
    explore(model.program, watch=model.watch, strategy=strategy, preemptions=3, runs=10_000, seed=1)


@pytest.mark.soak
@each_model
def test_it_holds_under_every_schedule_of_two_preemptions(model: Model) -> None:
    report = explore(model.program, strategy="dfs", preemptions=2, runs=200_000)
    assert report.exhausted


class Fault(NamedTuple):
    """One changed line, and the model that must notice."""

    owner: object
    name: str
    old: str
    new: str
    program: Callable[[], None]


REQUESTED_FIRST = """\
        self._requested = True  # before the watchers are looked at
        for sleeper in list(self._sleepers):
            sleeper.wake()
        callbacks = list(self._callbacks)
"""
REQUESTED_LAST = """\
        for sleeper in list(self._sleepers):
            sleeper.wake()
        callbacks = list(self._callbacks)
    self._requested = True
"""

FAULTS = {
    "who waits does not look at a scope when it has entered itself": Fault(
        _park,
        "_enter",
        "scope._requested or not scope._is_open()",
        "False",
        two_sleep_while_it_is_cancelled,
    ),
    "who waits looks at a scope before it enters itself": Fault(
        _park,
        "_enter",
        """\
        with scope._lock:
            scope._sleepers[sleeper] = None
        if scope._requested or not scope._is_open():  # looked at when it has been entered
            return -math.inf
""",
        """\
        if scope._requested or not scope._is_open():
            return -math.inf
        with scope._lock:
            scope._sleepers[sleeper] = None
""",
        two_sleep_while_it_is_cancelled,
    ),
    "who has waited does not leave the books": Fault(
        _park,
        "_park_once",
        "scope._sleepers.pop(sleeper, None)",
        "pass",
        one_sleeps_in_two_scopes,
    ),
    "the caller's timeout goes before the scope's deadline": Fault(
        _park,
        "_park_in",
        "if ended is False:",
        "if False:",
        a_deadline_and_a_timeout_are_one_moment,
    ),
    "a cancel wakes one": Fault(
        CancelScope,
        "cancel",
        "list(self._sleepers)",
        "list(self._sleepers)[:1]",
        two_sleep_while_it_is_cancelled,
    ),
    "a cancel is written down after the watchers were looked at": Fault(
        CancelScope,
        "cancel",
        REQUESTED_FIRST,
        REQUESTED_LAST,
        two_sleep_while_it_is_cancelled,
    ),
    "a remove does not wait": Fault(
        CancelCallback,
        "remove",
        "elif settled[1] != _runtime.get_ident() and",
        "elif False and",
        a_cancel_comes_with_a_remove,
    ),
    "one remover is let in": Fault(
        CancelCallback,
        "remove",
        "self._ended.release()  # for the next one who removes it",
        "pass",
        a_cancel_comes_with_a_remove,
    ),
    "a callback that removes itself waits for itself": Fault(
        CancelCallback,
        "remove",
        "elif settled[1] != _runtime.get_ident() and",
        "elif",
        a_callback_removes_itself,
    ),
    "a call is made without a claim": Fault(
        CancelCallback,
        "call",
        'if self._claim.setdefault("by", mine) is not mine:',
        "if self._claim:",
        two_scopes_ask_for_one_call,
    ),
    "a scope that is left keeps its callbacks": Fault(
        CancelScope,
        "_close",
        "callback.remove()",
        "pass",
        a_cancel_comes_with_the_leave,
    ),
    "a registration does not look at the scope when it has entered itself": Fault(
        CancelCallback,
        "_watch",
        "if scope._asks(now):",
        "if False:",
        a_cancel_comes_with_a_registration,
    ),
    "a block looks whether it was called, and then removes": Fault(
        CancelCallback,
        "__exit__",
        """\
    self.remove()
    if isinstance(exc, Exception) or (exc is None and self.called):
        _chain.checkpoint()
""",
        """\
    if isinstance(exc, Exception) or (exc is None and self.called):
        _chain.checkpoint()
    self.remove()
""",
        a_call_ends_with_its_block,
    ),
    "what was settled while it was entered stays in the books": Fault(
        CancelCallback,
        "_watch",
        "    else:\n        self._forget_if_over()",
        "",
        a_shield_ends_with_a_remove,
    ),
    "what is being called is forgotten by another one": Fault(
        CancelCallback,
        "_forget_if_over",
        "and not self._ended.locked()",
        "",
        a_deadline_comes_with_a_cancel,
    ),
    "a remover forgets before it waits": Fault(
        CancelCallback,
        "remove",
        "    if settled is _REMOVED:",
        "    self._forget()\n    if settled is _REMOVED:",
        a_remove_and_the_leave_come_with_a_cancel,
    ),
    "what is behind a shield is not looked at when that ends": Fault(
        CancelCallback,
        "_watch",
        "scope._changes_at(now)",
        "scope._deadline",
        a_shield_ends_before_the_deadline,
    ),
    "an earlier deadline does not wake the timer": Fault(
        _timer,
        "call_at",
        "if _timers.heap[0] is new:",
        "if False:",
        the_earlier_of_two_deadlines_comes_later,
    ),
    "the timer's thread ends and is still taken for one": Fault(
        _timer,
        "_take_due",
        "_timers.service = None",
        "pass",
        one_deadline_comes_after_the_other,
    ),
    "the timer is told outside its lock that there is nothing to come": Fault(
        _timer,
        "_take_due",
        "        return None, max(0.0, _timers.heap[0][0] - now)",
        "        return None, None",
        the_earlier_of_two_deadlines_comes_later,
    ),
    "a waiter of a task is cancelled although it is done": Fault(
        Task,
        "_wait_once",
        """\
        if self._leave(latch):
            raise
""",
        """\
        self._leave(latch)
        raise
""",
        a_result_comes_before_a_cancel,
    ),
    "a waiter of a task that is cancelled stays listed": Fault(
        Task,
        "_leave",
        "self._latches.remove(latch)",
        "pass",
        a_result_comes_with_a_cancel,
    ),
    "who joins does not look again": Fault(
        Thread,
        "_wait_for_end",
        "if self._gone:",
        "if False:",
        two_join_it_in_a_scope,
    ),
    "one who joins is woken": Fault(
        Thread,
        "_end",
        "while self._joiners:",
        "if self._joiners:",
        two_join_it_in_a_scope,
    ),
    "a thread that ends does not say so": Fault(
        Thread,
        "_end",
        "self._gone = True",
        "pass",
        two_join_it_in_a_scope,
    ),
    "who joins and is cancelled stays listed": Fault(
        Thread,
        "_wait_for_end",
        "self._joiners.remove(held)",
        "pass",
        a_join_comes_with_a_cancel_and_the_end,
    ),
    "a thread that ends while it is given up stays abandoned": Fault(
        Thread,
        "_give_up",
        "    if not self._finish(FINISHED, exception=error):\n        _abandoned.discard(self)",
        "    self._finish(FINISHED, exception=error)",
        its_time_is_up_when_it_ends,
    ),
    "a thread is abandoned after its end was told": Fault(
        Thread,
        "_give_up",
        "    if not self._finish(FINISHED, exception=error):\n        _abandoned.discard(self)",
        "    if self._finish(FINISHED, exception=error):\n        _abandoned.add(self)",
        its_time_is_up_when_it_ends,
    ),
    "a thread that ends in time keeps its timer": Fault(
        Thread,
        "_end",
        "launch.timer.cancel()",
        "pass",
        it_is_asked_to_stop_when_its_time_is_up,
    ),
}

WATCHED = {model.program: model.watch for model in MODELS}


# A fault in a callback may come to light in the callback, too, which has nobody to raise to.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("case", FAULTS.values(), ids=list(FAULTS))
def test_a_fault_is_found(case: Fault, fault: Callable[[Any, str, str, str], None]) -> None:
    fault(case.owner, case.name, case.old, case.new)
    with pytest.raises(ScheduleError):
        explore(case.program, watch=WATCHED[case.program], strategy="random", runs=400)
        explore(case.program, strategy="dfs", preemptions=1, runs=4000)
