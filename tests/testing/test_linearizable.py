"""Right objects pass, each classic wrong one is found and told with its timeline."""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from exploring import TO_THE_END, fewer
from joinable.testing import (
    Call,
    LinearizabilityError,
    ScheduleError,
    SearchLimitError,
    WouldBlock,
    _orders,
    check_linearizable,
)
from joinable.testing._history import History, Operation, Outcome
from joinable.testing._state import state_of

if TYPE_CHECKING:
    from collections.abc import Callable

# -- sequential models: what the objects below should look like from outside ----------------------


class CounterModel:
    value = 0

    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    def read(self) -> int:
        return self.value


class StartsAtOne(CounterModel):
    value = 1


class RegisterModel:
    value = 0

    def write(self, value: int) -> None:
        self.value = value

    def read(self) -> int:
        return self.value


class QueueModel:
    def __init__(self, maxsize: int = 0) -> None:
        self.items: list[object] = []
        self.maxsize = maxsize

    def put(self, item: object) -> None:
        if 0 < self.maxsize <= len(self.items):
            raise WouldBlock
        self.items.append(item)

    def get(self) -> object:
        if not self.items:
            raise WouldBlock
        return self.items.pop(0)

    def get_nowait(self) -> object:
        if not self.items:
            raise queue.Empty
        return self.items.pop(0)

    def qsize(self) -> int:
        return len(self.items)


class AlwaysFull(QueueModel):
    def put(self, item: object) -> None:
        del item
        raise WouldBlock


class LastInFirstOut(QueueModel):
    def get(self) -> object:
        return self.items.pop()


class NeverEmpty(QueueModel):
    def get_nowait(self) -> object:
        return 1


class OtherError(QueueModel):
    def get_nowait(self) -> object:
        return self.items.pop(0)  # an IndexError where the queue raises Empty


class StackModel:
    def __init__(self) -> None:
        self.items: list[object] = []

    def push(self, item: object) -> None:
        self.items.append(item)

    def pop(self) -> object:
        return self.items.pop() if self.items else None


class SetModel:
    def __init__(self) -> None:
        self.items: set[object] = set()

    def add(self, item: object) -> bool:
        new = item not in self.items
        self.items.add(item)
        return new


class SemaphoreModel:
    def __init__(self, value: int = 1) -> None:
        self.value = value

    def acquire(self) -> bool:
        if not self.value:
            raise WouldBlock
        self.value -= 1
        return True

    def release(self) -> None:
        self.value += 1


# -- right objects, and the same with one fault ---------------------------------------------------


class Counter:
    def __init__(self) -> None:
        self.value, self.lock = 0, threading.Lock()

    def add(self, amount: int) -> int:
        with self.lock:
            self.value += amount
            return self.value

    def read(self) -> int:
        with self.lock:
            return self.value


class CounterReadLate(Counter):
    def add(self, amount: int) -> int:
        with self.lock:
            self.value += amount
        return self.value  # somebody else's, perhaps


class Register:
    def __init__(self) -> None:
        self.value, self.lock = 0, threading.Lock()

    def write(self, value: int) -> None:
        with self.lock:
            self.value = value

    def read(self) -> int:
        with self.lock:
            return self.value


class StaleRegister(Register):
    """Reads a copy that is brought up to date after the write has returned to others."""

    def __init__(self) -> None:
        super().__init__()
        self.copy = 0

    def write(self, value: int) -> None:
        super().write(value)
        with self.lock:
            self.copy = value

    def read(self) -> int:
        with self.lock:
            value, copy = self.value, self.copy
        with self.lock:  # once the new value, once the old one
            self.flip = not getattr(self, "flip", False)
        return value if self.flip else copy


class BufferedQueue:
    """A queue of two shelves; the fault is that the second is looked at without the first."""

    def __init__(self) -> None:
        self.shelves = queue.SimpleQueue[object](), queue.SimpleQueue[object]()
        self.turn, self.lock = 0, threading.Lock()

    def put(self, item: object) -> None:
        with self.lock:
            self.turn = 1 - self.turn
            shelf = self.shelves[self.turn]
        shelf.put(item)

    def get_nowait(self) -> object:
        try:
            return self.shelves[1].get_nowait()
        except queue.Empty:
            return self.shelves[0].get_nowait()


class LossyQueue:
    def __init__(self) -> None:
        self.items: tuple[object, ...] = ()

    def put(self, item: object) -> None:
        items = self.items
        self.items = (*items, item)  # what another one has put meanwhile is gone

    def get_nowait(self) -> object:
        if not self.items:
            raise queue.Empty
        item, *rest = self.items
        self.items = tuple(rest)
        return item


class ForgetfulQueue(queue.Queue[object]):
    def put(self, item: object) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        with self.mutex:
            self._put(item)  # nobody is woken


class Stack:
    def __init__(self) -> None:
        self.items: list[object] = []
        self.lock = threading.Lock()

    def push(self, item: object) -> None:
        with self.lock:
            self.items.append(item)

    def pop(self) -> object:
        with self.lock:
            return self.items.pop() if self.items else None


class StackLooksFirst(Stack):
    def pop(self) -> object:
        if not self.items:
            return None
        top = self.items[-1]
        with self.lock:
            self.items.pop()
        return top


class Set:
    def __init__(self) -> None:
        self.items: set[object] = set()
        self.lock = threading.Lock()

    def add(self, item: object) -> bool:
        with self.lock:
            new = item not in self.items
            self.items.add(item)
            return new


class CheckThenActSet(Set):
    def add(self, item: object) -> bool:
        with self.lock:
            new = item not in self.items
        with self.lock:
            self.items.add(item)
        return new


class TooWillingSemaphore:
    def __init__(self) -> None:
        self.value, self.condition = 1, threading.Condition()

    def acquire(self) -> bool:
        with self.condition:
            if not self.value:  # should be `while`
                self.condition.wait()
            self.value -= 1
            return True

    def release(self) -> None:
        with self.condition:
            self.value += 1
            self.condition.notify()


class DequeAsQueue:
    def __init__(self) -> None:
        self.items: deque[object] = deque()

    def put(self, item: object) -> None:
        self.items.append(item)

    def get_nowait(self) -> object:
        try:
            return self.items.popleft()
        except IndexError:
            raise queue.Empty from None


RIGHT: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
    "counter": (Counter, [[("add", 1), "read"], [("add", 2), ("add", 3)]], CounterModel, {}),
    "register": (
        Register,
        [[("write", 1), ("write", 2)], ["read", "read"]],
        RegisterModel,
        {"watch": [Register]},
    ),
    "queue": (
        lambda: queue.Queue[int](1),
        [[("put", 1), ("put", 2)], ["get", "get"]],
        lambda: QueueModel(1),
        {},
    ),
    "queue that stays blocked": (
        queue.Queue,
        [[("put", 1)], ["get"], ["get"]],
        QueueModel,
        {"after": ["qsize"]},
    ),
    "simple queue": (
        queue.SimpleQueue,
        [[("put", 1), ("put", 2)], ["get", "get"], ["get_nowait"]],
        QueueModel,
        {},
    ),
    "deque": (
        DequeAsQueue,
        [[("put", 1), ("put", 2)], ["get_nowait", "get_nowait"]],
        QueueModel,
        {"watch": [DequeAsQueue]},
    ),
    "stack": (Stack, [[("push", 1), "pop"], [("push", 2), "pop"]], StackModel, {}),
    "set": (Set, [[("add", 1), ("add", 2)], [("add", 1)], [("add", 2)]], SetModel, {}),
    "semaphore": (
        threading.Semaphore,
        [["acquire", "release"], ["acquire", "release"], ["acquire"]],
        SemaphoreModel,
        {},
    ),
}

WRONG: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
    "counter read late": (
        CounterReadLate,
        [[("add", 1)], [("add", 2)]],
        CounterModel,
        {},
    ),
    "stale register": (StaleRegister, [[("write", 1)], ["read", "read"]], RegisterModel, {}),
    "queue that reorders": (
        BufferedQueue,
        [[("put", 1), ("put", 2)], ["get_nowait", "get_nowait"]],
        QueueModel,
        {},
    ),
    "queue that loses": (
        LossyQueue,
        [[("put", 1)], [("put", 2)]],
        QueueModel,
        {"watch": [LossyQueue], "after": ["get_nowait", "get_nowait"]},
    ),
    "queue that forgets to wake": (ForgetfulQueue, [["get"], [("put", 1)]], QueueModel, {}),
    "stack that looks first": (
        # It begins with something on it: else there is nothing to look at.
        lambda: prepared(StackLooksFirst()),
        [["pop"], ["pop"]],
        lambda: prepared(StackModel()),
        {"watch": [StackLooksFirst]},
    ),
    "check-then-act set": (CheckThenActSet, [[("add", 1)], [("add", 1)]], SetModel, {}),
    "too willing semaphore": (
        TooWillingSemaphore,
        [["acquire", "release", "acquire"], ["acquire"]],
        SemaphoreModel,
        {},
    ),
}
each_wrong = pytest.mark.parametrize("name", WRONG)


def prepared(stack: Any) -> Any:
    stack.push(1)
    stack.push(2)
    return stack


def failure_of(*arguments: Any, **options: Any) -> ScheduleError:
    with pytest.raises(ScheduleError) as caught:
        check_linearizable(*arguments, **options)
    assert isinstance(caught.value.__cause__, LinearizabilityError)
    return caught.value


class TestRightObjects:
    @pytest.mark.parametrize("name", RIGHT)
    def test_they_pass_under_random_schedules(self, name: str) -> None:
        make, operations, model, options = RIGHT[name]
        for strategy in ("pct", "random"):
            report = check_linearizable(
                make, operations, model, runs=fewer(300), strategy=strategy, **options
            )
            assert report.runs == fewer(300)

    @pytest.mark.parametrize(
        "name",
        [
            "counter",
            *(pytest.param(name, marks=TO_THE_END) for name in ("stack", "simple queue", "queue")),
        ],
    )
    def test_they_pass_under_every_schedule_of_two_preemptions(self, name: str) -> None:
        make, operations, model, options = RIGHT[name]
        report = check_linearizable(make, operations, model, strategy="dfs", runs=20_000, **options)
        assert report.exhausted


class TestWrongObjects:
    @each_wrong
    def test_they_are_found_and_shrunk(self, name: str) -> None:
        make, operations, model, options = WRONG[name]
        error = failure_of(make, operations, model, **options)
        assert error.schedule.count("@") <= 2
        assert error.schedule in error.replay_line

    @each_wrong
    def test_the_schedule_fails_again_each_time(self, name: str) -> None:
        make, operations, model, options = WRONG[name]
        error = failure_of(make, operations, model, **options)
        for _ in range(5):
            again = failure_of(make, operations, model, schedule=error.schedule, **options)
            assert str(again.__cause__) == str(error.__cause__)

    def test_a_schedule_of_a_right_object_passes(self) -> None:
        operations = [[("add", 1)], [("add", 2)]]
        error = failure_of(CounterReadLate, operations, CounterModel)
        report = check_linearizable(Counter, operations, CounterModel, schedule=error.schedule)
        assert report.runs == 1

    @pytest.mark.parametrize("model", [AlwaysFull, LastInFirstOut, NeverEmpty, OtherError])
    def test_wrong_models_are_found(self, model: Callable[[], object]) -> None:
        operations = [["get_nowait", ("put", 1), ("put", 2), "get", "get"]]
        failure_of(queue.Queue, operations, model)

    def test_a_real_time_order_is_kept(self) -> None:
        """Two reads by one thread, the later the older: no order, though each value was there."""

        class Backwards(RegisterModel):
            def __init__(self) -> None:
                self.answers = [1, 0]

            def read(self) -> int:
                return self.answers.pop(0)

        failure_of(Backwards, [[("write", 1), "read", "read"]], RegisterModel)

    def test_between_two_calls_without_points_others_may_come(self) -> None:
        """The second call of the first thread must see what was done after its first."""

        class Caching(RegisterModel):
            def __init__(self) -> None:
                self.cached: int | None = None

            def read(self) -> int:
                self.cached = self.value if self.cached is None else self.cached
                return self.cached

        error = failure_of(Caching, [["read", "read"], [("write", 1)]], RegisterModel)
        assert error.schedule.count("@") == 1


class TestBlocked:
    def test_a_lost_wake_up_names_the_waiting_thread(self) -> None:
        error = failure_of(ForgetfulQueue, [["get"], [("put", 1)]], QueueModel)
        assert "get() is blocked, but the model returns 1" in str(error)
        assert "Blocked for ever:\n    thread 1 waits for a Lock" in str(error)

    def test_a_call_that_has_had_its_effect_and_hangs_is_wrong(self) -> None:
        class Hangs(Counter):
            def add(self, amount: int) -> int:
                super().add(amount)
                threading.Event().wait()
                return 0

        failure_of(Hangs, [[("add", 1)], ["read"]], CounterModel)

    def test_a_model_that_never_blocks_forbids_blocking(self) -> None:
        class Deadlocks(Counter):
            def read(self) -> int:
                with self.lock:
                    return self.add(0)

        error = failure_of(Deadlocks, [["read"]], CounterModel)
        assert "waits for a Lock held by thread 1" in str(error)

    def test_a_call_may_not_return_where_the_model_would_block(self) -> None:
        class Twice(SemaphoreModel):
            def acquire(self) -> bool:
                return True

        error = failure_of(Twice, [["acquire", "acquire"]], SemaphoreModel)
        assert "acquire() returned True, but the model would block" in str(error)

    def test_timeouts_are_calls_like_any(self) -> None:
        class Model(QueueModel):
            def get(self, *, timeout: float | None = None) -> object:
                if not self.items and timeout is not None:
                    raise queue.Empty
                return super().get()

        check_linearizable(
            queue.Queue,
            [[Call("get", timeout=5)], [("put", 1)], [Call("get", timeout=2)]],
            Model,
            runs=300,
        )

    def test_after_is_called_when_the_others_are_blocked_too(self) -> None:
        check_linearizable(queue.Queue, [["get"]], QueueModel, after=[("put", 1)], runs=50)
        # One of the two that get goes without, whichever it is.
        check_linearizable(queue.Queue, [["get"]], QueueModel, after=[("put", 1), "get"], runs=50)


class TestMessage:
    def test_it_shows_the_history_and_why_no_order_fits(self) -> None:
        error = failure_of(CheckThenActSet, [[("add", 1)], [("add", 1)]], SetModel)
        cause = error.__cause__
        assert isinstance(cause, LinearizabilityError)
        assert cause.timeline.splitlines() == [
            "    thread 1  add(1) -> True  |-----|",
            "    thread 2  add(1) -> True    |-|",
        ]
        assert cause.explanation.splitlines() == [
            "The longest order that fits begins with",
            "    thread 1  add(1) -> True",
            "and then:",
            "    thread 2  add(1) returned True, but the model returns False",
        ]
        assert error.replay_line == (
            "check_linearizable(CheckThenActSet, [[Call('add', 1)], [Call('add', 1)]], SetModel, "
            f"schedule={error.schedule!r})"
        )

    def test_it_says_when_nothing_can_be_first(self) -> None:
        error = failure_of(Counter, [["read"]], StartsAtOne)
        assert isinstance(error.__cause__, LinearizabilityError)
        assert error.__cause__.explanation.splitlines() == [
            "None of these can be the first:",
            "    thread 1  read() returned 0, but the model returns 1",
        ]


class TestArguments:
    @pytest.mark.parametrize(
        ("operations", "message"),
        [
            ([("put", 1)], "1, in thread 1, is no operation"),
            (["get"], "a sequence for each thread"),
            ([Call("get")], "a sequence for each thread"),
            ([[()]], "is no operation"),
            ([[3]], "write Call"),
            ([["nothing"]], "has no method 'nothing'"),
        ],
    )
    def test_what_is_no_operation_is_refused(self, operations: Any, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            check_linearizable(queue.Queue, operations, QueueModel)

    def test_a_method_that_only_the_model_lacks_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"QueueModel.*has no method 'full'"):
            check_linearizable(queue.Queue, [["full"]], QueueModel)

    def test_no_operations_are_refused(self) -> None:
        with pytest.raises(ValueError, match="nothing would be checked"):
            check_linearizable(queue.Queue, [[], []], QueueModel)

    def test_too_many_threads_are_refused(self) -> None:
        with pytest.raises(ValueError, match="32768 combinations"):
            check_linearizable(queue.Queue, [["qsize"]] * 15, QueueModel)

    def test_options_of_explore_are_checked_there(self) -> None:
        with pytest.raises(ValueError, match="runs=0"):
            check_linearizable(queue.Queue, [["qsize"]], QueueModel, runs=0)

    def test_calls_are_values(self) -> None:
        assert len({Call("put", 1, block=True), Call("put", 1, block=True)}) == 1
        assert Call("put", 1) != Call("put", 2)
        assert str(Call("put", "x", block=False)) == "put('x', block=False)"
        with pytest.raises(AttributeError):
            Call("put").name = "get"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

    def test_locks_of_the_objects_module_are_points(self) -> None:
        """`make` says which module belongs to the exploration."""
        failure_of(UsesModuleLock, [["bump"], ["bump"]], BumpModel)


MODULE_LOCK = threading.Lock()


class UsesModuleLock:
    def __init__(self) -> None:
        self.value = 0

    def bump(self) -> int:
        with MODULE_LOCK:
            value = self.value
        with MODULE_LOCK:
            self.value = value + 1
        return value


class BumpModel:
    value = 0

    def bump(self) -> int:
        self.value += 1
        return self.value - 1


# -- the search itself ----------------------------------------------------------------------------


def history(*rows: tuple[str, int, int | None, object]) -> History:
    """Build a history by hand: thread, begin, end, and what was read, or the call that wrote."""
    made = History()
    for thread, begin, end, value in rows:
        call = Call("read") if not isinstance(value, Call) else value
        operation = Operation(thread, call, begin)
        operation.end = end
        if end is not None:
            operation.outcome = Outcome(None if isinstance(value, Call) else value, None)
        made.operations.append(operation)
    made.events = max((end or begin) for _, begin, end, _ in rows)
    return made


WRITE_1, WRITE_2 = Call("write", 1), Call("write", 2)


class TestSearch:
    @pytest.mark.parametrize(
        ("rows", "fits"),
        [
            # Side by side, the read may come before or after the write.
            ([("a", 1, 4, WRITE_1), ("b", 2, 3, 0)], True),
            ([("a", 1, 4, WRITE_1), ("b", 2, 3, 1)], True),
            # Once the write has returned, only after.
            ([("a", 1, 2, WRITE_1), ("b", 3, 4, 0)], False),
            ([("a", 1, 2, WRITE_1), ("b", 3, 4, 1)], True),
            # Two readers that see two writes in opposite orders.
            (
                [
                    ("a", 1, 20, WRITE_1),
                    ("b", 2, 19, WRITE_2),
                    ("c", 3, 4, 1),
                    ("c", 5, 6, 2),
                    ("d", 7, 8, 1),
                ],
                False,
            ),
            # New, then old: by Herlihy and Wing the mark of what is not atomic.
            ([("a", 1, 10, WRITE_1), ("b", 2, 3, 1), ("c", 4, 5, 0)], False),
            ([("a", 1, 10, WRITE_1), ("b", 2, 5, 1), ("c", 3, 4, 0)], True),
            # Blocked for ever, where this model never blocks.
            ([("a", 1, None, WRITE_1)], False),
        ],
    )
    def test_known_histories(self, rows: Any, *, fits: bool) -> None:
        assert _orders.Search(history(*rows), RegisterModel).fits() is fits

    def test_the_model_has_no_points(self) -> None:
        """Else each history would make the runs longer, and the schedules more."""
        plain, watched = (
            check_linearizable(
                Counter, [[("add", 1)], [("add", 2)]], CounterModel, strategy="dfs", watch=watch
            )
            for watch in ([], [CounterModel])
        )
        assert plain == watched

    def test_a_state_is_not_tried_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Twelve equal calls side by side, and one that never fits: 12! orders, 13 states."""
        rows: list[Any] = [(str(number), number, 50 + number, WRITE_1) for number in range(1, 13)]
        rows.append(("x", 100, 101, 7))
        monkeypatch.setattr(_orders, "LIMIT", 13 * 2**12 * 13)
        assert not _orders.Search(history(*rows), RegisterModel).fits()

    def test_it_gives_up_aloud(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_orders, "LIMIT", 3)
        with pytest.raises(SearchLimitError, match="after 3 steps"):
            check_linearizable(queue.Queue, [["qsize"] * 3, ["qsize"] * 3], QueueModel, runs=10)

    def test_arguments_that_are_equal_to_nothing_else_are_told_apart(self) -> None:
        one, two = object(), object()
        check_linearizable(
            Stack, [[("push", one), ("push", two)], ["pop", "pop"]], StackModel, runs=200
        )


SHARED, OTHER = [1], [1]


class TestState:
    @pytest.mark.parametrize(
        ("left", "right"),
        [
            ({"a": 1, "b": 2}, {"b": 2, "a": 1}),  # a model may look at the order
            ([1], [True]),
            ([1], (1,)),
            ([0.0], [-0.0]),
            ([object()], [object()]),
            (deque([1, 2]), deque([2, 1])),
            ([[1], [1]], [SHARED, SHARED]),
            ([SHARED, OTHER, SHARED], [SHARED, OTHER, OTHER]),
        ],
    )
    def test_what_may_answer_differently_is_told_apart(self, left: Any, right: Any) -> None:
        assert state_of(left) != state_of(right)

    def test_equal_states_have_equal_keys(self) -> None:
        left, right = QueueModel(), QueueModel()
        for model in (left, right):
            model.put((1, "x", None, 2.5, frozenset([3])))
        assert state_of(left) == state_of(right)
        assert hash(state_of(left)) == hash(state_of(right))
        right.put(1)
        assert state_of(left) != state_of(right)

    def test_slots_and_cycles_are_looked_into(self) -> None:
        class Node:
            __slots__ = ("__next", "value")

            def __init__(self, value: int) -> None:
                self.value = value
                self.__next = self

        assert state_of(Node(1)) == state_of(Node(1))
        assert state_of(Node(1)) != state_of(Node(2))
