# A scope may swallow what its block raises: checkers take every name bound in it for unbound after.
# pyright: reportPossiblyUnboundVariable=false
"""Scopes, callbacks and the timer under every schedule.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import functools
import threading
import time

import pytest

from exploring import (
    Composed,
    Fault,
    Model,
    ended_by,
    inside,
    let_all_run,
    race,
    to_come,
    together_here,
)
from joinable import (
    CancelScope,
    _callback,
    _chain,
    _limits,
    _park,
    _scope,
    _timer,
    move_on_after,
    shield,
    sleep,
)
from joinable._callback import CancelCallback

WAITS = (_chain, _park, _scope)
CALLBACKS = (_callback, _chain, _scope)
TIMERS = (_callback, _timer)


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

    together_here(cancel, wait)


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

        together_here(scope.cancel, remove)
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
    together_here(cancel, wait)
    assert scope.cancelled_caught
    assert not scope._callbacks


def two_scopes_ask_for_one_call() -> None:
    """It is called once, however many of the scopes around it are cancelled."""
    record = Record()
    with CancelScope() as outer, CancelScope() as inner:
        inner.on_cancel(record)
        together_here(outer.cancel, inner.cancel)
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

    together_here(functools.partial(bound, 2), functools.partial(bound, 1))


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

    together_here(register, enter)
    assert len(calls) == len(registered)


MODELS = [
    Model(two_sleep_while_it_is_cancelled, WAITS),
    Model(a_cancel_comes_with_the_end_of_a_sleep, WAITS, bound=2),
    Model(a_deadline_and_a_timeout_are_one_moment, WAITS, bound=2),
    Model(one_sleeps_in_two_scopes, WAITS),
    Model(a_cancel_comes_with_the_leave, CALLBACKS, bound=2),
    Model(a_cancel_comes_with_a_remove, CALLBACKS),
    Model(a_remove_and_the_leave_come_with_a_cancel, CALLBACKS, bound=2),
    Model(a_callback_removes_itself, CALLBACKS, bound=2),
    Model(a_cancel_comes_with_a_registration, CALLBACKS, bound=2),
    Model(two_scopes_ask_for_one_call, CALLBACKS, bound=2),
    Model(a_call_ends_with_its_block, CALLBACKS, bound=2),
    Model(a_deadline_comes_with_a_remove, TIMERS, bound=2),
    Model(a_deadline_comes_with_a_cancel, TIMERS),
    Model(a_shield_ends_with_a_remove, TIMERS, bound=2),
    Model(a_shield_ends_before_the_deadline, TIMERS, bound=2),
    Model(the_earlier_of_two_deadlines_comes_later, TIMERS),
    Model(one_deadline_comes_after_the_other, TIMERS),
    Model(it_is_entered_while_another_registers, (_limits, *CALLBACKS), bound=2),
]


REQUESTED_FIRST = """\
        self._requested = True  # before the watchers are looked at
        callbacks, interrupt = self._wake_all()
"""
REQUESTED_LAST = """\
        callbacks, interrupt = self._wake_all()
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
        "_wake_each",
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
        runs=4000,
    ),
    "what was settled while it was entered stays in the books": Fault(
        CancelCallback,
        "_watch",
        "    else:\n        self._forget_if_over()",
        "",
        a_shield_ends_with_a_remove,
        runs=2000,
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
}


class TestScope(Composed):
    models = MODELS
    faults = FAULTS
    # A fault in a callback may come to light in the callback, too, which has nobody to raise to.
    marks_of_faults = (
        pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    )
