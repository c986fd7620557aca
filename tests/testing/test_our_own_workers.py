# A group may swallow what its block raises: checkers take every name bound in it for unbound after.
# pyright: reportPossiblyUnboundVariable=false
"""Idle workers and the crews made of them under every schedule.

Each model is a small program; the line under its name says what must hold. The faults at the end
show that the models can fail.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import pytest

from exploring import (
    Composed,
    Fault,
    Model,
    at_one,
    ended_by,
    let_all_run,
    race,
    together,
    together_here,
)
from joinable import TaskGroup, _crew, _group, _runtime, _workers
from joinable._crew import Crew
from joinable._running import abandoned
from joinable._workers import IDLE, Job, _Pool, _Worker, idle
from joinable.testing import _leaks

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS = (_workers,)
CREWS = (_crew, _workers)
LENDING = (_crew, _group)
WATCHING = (_workers, _leaks)


class Done:
    """Jobs, who did them, and when each was over."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.told: list[threading.Thread] = []
        self.over = threading.Semaphore(0)

    def run(self, job: Job) -> bool:
        me = threading.current_thread()
        assert job.thread is me
        self.threads.append(me)
        return True

    def run_and_spoil(self, job: Job) -> bool:
        return not self.run(job)

    def after(self, job: Job) -> None:
        assert job.thread is not None
        self.told.append(job.thread)
        self.over.release()

    def start(self) -> None:
        _workers.start(Job(self.run, self.after))

    def wait(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.over.acquire(timeout=IDLE / 4)  # nobody waits for a retired one


# -------------------------------------------------------------------- the hand-over


def a_job_comes_when_a_worker_retires() -> None:
    """It is done once, by that worker or by a new one, and at once."""
    done = Done()
    done.start()
    done.wait()
    time.sleep(IDLE)
    done.start()
    done.wait()
    assert len(done.threads) == len(done.told) == 2


def two_jobs_come_when_a_worker_retires() -> None:
    """Each is done once."""
    done = Done()
    done.start()
    done.wait()
    time.sleep(IDLE - 1)
    race(done.start, done.start)
    done.wait(2)
    assert len(done.threads) == len(done.told) == 3


def two_find_one_idle_worker() -> None:
    """Each job is done once, whoever does it."""
    done = Done()
    done.start()
    done.wait()
    race(done.start, done.start)
    done.wait(2)
    assert len(done.threads) == 3


def a_worker_is_idle_before_it_is_told() -> None:
    """Who is told that a job is over, and starts the next, gets that very thread."""
    done = Done()
    for _ in range(3):
        done.start()
        done.wait()
    assert len({*done.threads}) == 1
    assert idle() == done.threads[:1]


def a_worker_that_was_spoiled_is_not_used_again() -> None:
    """The next job has a new thread, and the old one ends."""
    done = Done()
    _workers.start(Job(done.run_and_spoil, done.after))
    done.wait()
    done.start()
    done.wait()
    assert len({*done.threads}) == 2
    done.threads[0].join()
    assert idle() == done.threads[1:]


def a_job_is_called_off_when_its_worker_comes() -> None:
    """It is done, or was called off: one of the two; and the worker is good for the next."""
    done = Done()
    job = Job(done.run, done.after)
    called_off: list[bool] = []
    together_here(lambda: _workers.start(job), lambda: called_off.append(job.claim()))
    done.start()
    done.wait(1 + (not called_off[0]))
    assert not job.claim()
    assert len(done.threads) == len(done.told) == 1 + (not called_off[0])


def two_claim_one_job() -> None:
    """One of them has it."""
    job = Job(bool, bool)
    claimed: list[bool] = []
    race(lambda: claimed.append(job.claim()), lambda: claimed.append(job.claim()))
    assert sorted(claimed) == [False, True]


def the_last_to_become_idle_is_used_first() -> None:
    """Whoever else is idle."""
    done = Done()
    barrier = threading.Barrier(2)

    def run(job: Job) -> bool:
        barrier.wait()
        return done.run(job)

    for _ in range(2):
        _workers.start(Job(run, done.after))
    done.wait(2)
    _, last = idle()
    done.start()
    done.wait()
    assert done.threads[-1] is last


def one_that_nobody_needs_ends() -> None:
    """It is not among the idle then."""
    done = Done()
    done.start()
    done.wait()
    time.sleep(IDLE + 1)
    assert not idle()
    done.threads[0].join()


def all_are_sent_home() -> None:
    """Nobody is left then, whether he was about to retire or not."""
    done = Done()
    done.start()
    done.start()
    done.wait(2)
    time.sleep(IDLE)
    _workers._send_home()
    assert not idle()
    for thread in done.threads:
        thread.join()


# -------------------------------------------------------------------- crews


class Hands(Crew):
    """A crew that notes who takes what, and how many are at work at a time."""

    def __init__(self, limit: int | None, items: int = 0) -> None:
        super().__init__(limit)
        self.todo = deque(range(items))
        self.taken: list[int] = []
        self.here: list[threading.Thread] = []
        self.takers: list[threading.Thread] = []
        self.most = 0
        self.faults: list[BaseException] = []

    def has_more(self) -> bool:
        return bool(self.todo)

    def broke(self, error: BaseException) -> None:
        self.faults.append(error)
        self.todo.clear()

    def work(self, job: Job) -> bool:
        me = threading.current_thread()
        first = True
        while not self.must_leave():
            try:
                item = self.todo.popleft()
            except IndexError:
                break
            if first:
                self.arrived(job)
            first = False
            self.here.append(me)
            self.takers.append(me)
            self.most = max(self.most, len(self.here))
            self.taken.append(item)
            self.do(item)
            self.here.remove(me)
        return True

    def do(self, _: int) -> None:
        """Do what is to be done with it: nothing."""

    def add(self, item: int) -> None:
        self.todo.append(item)
        self.call()

    def is_over(self, count: int) -> bool:
        """Wait for the end, and check that everything was taken once, and everybody is idle."""
        assert self.wait(_runtime.monotonic() + IDLE / 4)
        assert not self.lanes
        assert not self.here
        assert not self.faults
        assert sorted(self.taken) == list(range(count))
        return True


class Meeting(Hands):
    """A crew each of whose items waits for all others."""

    def __init__(self, items: int) -> None:
        super().__init__(None, items)
        self.barrier = threading.Barrier(items)

    def do(self, _: int) -> None:
        self.barrier.wait(1)


def all_is_worked_off() -> None:
    """Everything is taken once, and nobody is there any more when that is told."""
    hands = Hands(None, 3)
    hands.call()
    assert hands.is_over(3)
    here = idle()
    assert len(here) == len({*here})
    # One at a time is on its way. If that is called off it is idle only when it has seen that, and
    # it may have taken something before.
    assert len({*hands.takers} - {*here}) <= 1


def two_at_a_time() -> None:
    """No more are at work at any time."""
    hands = Hands(2, 4)
    together(hands.call, hands.call)
    assert hands.is_over(4)
    assert hands.most <= 2


def one_at_a_time() -> None:
    """One after the other, in one thread at a time, in order."""
    hands = Hands(1, 3)
    together(hands.call, hands.call)
    assert hands.is_over(3)
    assert hands.most == 1
    assert hands.taken == [0, 1, 2]


def they_wait_for_each_other() -> None:
    """Without a limit each has a thread."""
    hands = Meeting(3)
    hands.call()
    assert hands.is_over(3)


def something_is_added_when_the_last_one_leaves() -> None:
    """It is taken, by the one who leaves or by a new one."""
    hands = Hands(None, 1)
    hands.call()
    hands.add(1)
    assert hands.is_over(2)


def two_add_when_the_last_one_leaves() -> None:
    """Both are taken, also under a limit."""
    hands = Hands(1, 1)
    hands.call()
    together(lambda: hands.add(1), lambda: hands.add(2))
    assert hands.is_over(3)
    assert hands.most == 1


def something_is_added_after_one_came_in_vain() -> None:
    """A worker that found nothing to take does not stand in the way of the next one."""
    hands = Hands(None, 2)
    hands.call()
    assert hands.is_over(2)
    hands.add(2)
    assert hands.is_over(3)


def the_threads_are_idle_when_all_is_over() -> None:
    """Who waited for the end can have every thread that had a part in it."""
    hands = Meeting(2)
    hands.call()
    assert hands.is_over(2)
    assert {*hands.takers} <= {*idle()}


def two_wait_for_the_end() -> None:
    """Both are woken; one that did not wait long enough is told."""
    hands = Meeting(2)
    hands.call()
    together_here(lambda: hands.is_over(2), lambda: hands.is_over(2))
    assert not hands._gone


class Stuck(Hands):
    """A crew whose work ends when it may."""

    def __init__(self) -> None:
        super().__init__(None, 1)
        self.may_end = threading.Event()

    def do(self, _: int) -> None:
        self.may_end.wait()


def a_wait_is_over_before_the_work() -> None:
    """It says so; those who were there are given up, and are so no more when they leave."""
    abandoned.clear()  # what another model has left there, with a fault in it
    hands = Stuck()
    hands.call()
    assert not hands.wait(_runtime.monotonic() + 1)
    together(hands.abandon, hands.may_end.set)
    assert hands.wait()
    assert not abandoned
    assert not hands.abandon()


class NoMoreError(RuntimeError):
    """Stands for the system's "can't start new thread"."""


def the_system_has_one_thread_only() -> None:
    """The error reaches who waits, nothing is taken twice, and nobody is left."""
    hands = Hands(None, 3)
    real = _runtime.start_worker

    def start_worker(function: Callable[[], object], name: str) -> threading.Thread:
        if not name.endswith("-1"):
            raise NoMoreError
        return real(function, name)

    _runtime.start_worker = start_worker
    try:
        hands.call()
        assert hands.wait(_runtime.monotonic() + IDLE / 4)
    finally:
        _runtime.start_worker = real
    assert {type(fault) for fault in hands.faults} <= {NoMoreError}
    assert len(hands.taken) == 3 or hands.faults
    assert len({*hands.taken}) == len(hands.taken)
    assert not hands.lanes


def the_system_has_no_thread_at_first() -> None:
    """The error is raised by the call, and the next one is as good as the first."""
    hands = Hands(None, 3)
    real = _runtime.start_worker

    def start_worker(function: Callable[[], object], name: str) -> threading.Thread:
        if name.endswith("-1"):
            raise NoMoreError
        return real(function, name)

    _runtime.start_worker = start_worker
    try:
        with pytest.raises(NoMoreError):
            hands.call()
        assert not hands.lanes
        hands.call()
        assert hands.is_over(3)
    finally:
        _runtime.start_worker = real


# -------------------------------------------------------------------- places that are lent


class Places:
    """How many calls of a group are at work: what waits for another one is not."""

    def __init__(self) -> None:
        self.here = 0
        self.most = 0
        self.lock = threading.Lock()

    def __enter__(self) -> None:
        with self.lock:
            self.here += 1
            self.most = max(self.most, self.here)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.here -= 1


def a_call_waits_for_another_one() -> None:
    """It lends its place, and has it back before all others are through; one works at a time."""
    places = Places()
    made: list[int] = []
    with TaskGroup(max_workers=1) as group:

        def inner(number: int) -> int:
            with places:
                let_all_run()
                made.append(number)
            return number

        def outer() -> int:
            tasks = [group.spawn(inner, number) for number in range(3)]
            value = tasks[0].result()
            with places:
                let_all_run()
                return value + len(made)

        task = group.spawn(outer)
    assert task.result() <= 2
    assert made == [0, 1, 2]
    assert places.most == 1
    assert group._crew.limit == 1


def calls_wait_for_each_other_in_a_row() -> None:
    """Each of three lends its place to the next."""
    places = Places()
    with TaskGroup(max_workers=1) as group:

        def call(left: int) -> int:
            value = group.spawn(call, left - 1).result() if left else 0
            with places:
                return value + 1

        task = group.spawn(call, 2)
    assert task.result() == 3
    assert places.most == 1
    assert group._crew.limit == 1


def one_waits_for_who_wants_its_place_back() -> None:
    """Who lends its place meanwhile lends it to that one first."""
    with TaskGroup(max_workers=1) as group:
        known = threading.Event()

        def one() -> int:
            known.wait()
            first = group.spawn(int)
            group.spawn(outer.result)
            return first.result() + 1

        outer = group.spawn(one)
        known.set()
    assert outer.result() == 1
    assert group._crew.limit == 1


def a_place_is_wanted_back_for_some_time_only() -> None:
    """A wait whose time is up goes on without it; the place is there once, when all is over."""
    with TaskGroup(max_workers=1) as group:

        def stubborn() -> None:
            time.sleep(3)

        def hasty() -> str:
            return ended_by(lambda: group.spawn(stubborn).result(1))

        task = group.spawn(hasty)
    assert task.result() == "DeadlineExceeded"
    assert group._crew.limit == 1


def who_wants_its_place_back_is_told_to_stop() -> None:
    """It goes on at once, and the place is there once, when all is over."""
    begin = time.monotonic()
    ends: list[float] = []
    with TaskGroup(max_workers=1) as group:

        def hasty() -> None:
            task = group.spawn(time.sleep, 3)
            ended_by(task.result)
            ends.append(time.monotonic() - begin)

        task = group.spawn(hasty)
        at_one(task.cancel)()
    assert ends == [1]
    assert group._crew.limit == 1


# -------------------------------------------------------------------- waiting until one is idle


def one_worker() -> threading.Thread:
    """Start a job and return its thread: that may not have begun yet, or be done."""
    before = threading.enumerate()
    _workers.start(Job(lambda _: True, bool))
    (thread,) = (each for each in threading.enumerate() if each not in before)
    return thread


def wait_for(thread: threading.Thread) -> None:
    """Wait until it is idle or has ended: that takes no time."""
    begin = time.monotonic()
    assert _leaks.outlast(thread, begin + IDLE / 2)
    assert time.monotonic() == begin


def one_is_waited_for_until_it_is_idle() -> None:
    """That is seen at once, long before it ends."""
    thread = one_worker()
    wait_for(thread)
    assert idle() == [thread]
    assert not _workers._pool.watchers


def two_wait_until_one_is_idle() -> None:
    """Both see it."""
    thread = one_worker()
    together_here(lambda: wait_for(thread), lambda: wait_for(thread))


def one_that_goes_is_waited_for_until_it_has_ended() -> None:
    """It is never idle."""
    before = threading.enumerate()
    _workers.start(Job(lambda _: False, bool))
    for thread in threading.enumerate():
        if thread not in before:  # it may have ended already
            wait_for(thread)
            assert not thread.is_alive()


def another_thread_is_waited_for_while_a_worker_comes() -> None:
    """A worker that nobody knows yet keeps nobody from it."""
    done = Done()
    thread = threading.Thread(target=done.start)
    thread.start()
    assert _leaks.outlast(thread, time.monotonic() + IDLE / 2)
    assert not thread.is_alive()
    done.wait()


MODELS = [
    Model(a_job_comes_when_a_worker_retires, WORKERS),
    Model(two_jobs_come_when_a_worker_retires, WORKERS),
    Model(two_find_one_idle_worker, WORKERS),
    Model(a_worker_is_idle_before_it_is_told, WORKERS, bound=2),
    Model(a_worker_that_was_spoiled_is_not_used_again, WORKERS, bound=2),
    Model(a_job_is_called_off_when_its_worker_comes, WORKERS, bound=2),
    Model(two_claim_one_job, WORKERS, bound=2),
    Model(one_that_nobody_needs_ends, WORKERS, bound=2),
    Model(the_last_to_become_idle_is_used_first, WORKERS),
    Model(all_are_sent_home, WORKERS),
    Model(one_is_waited_for_until_it_is_idle, WATCHING, bound=2),
    Model(two_wait_until_one_is_idle, WATCHING),
    Model(one_that_goes_is_waited_for_until_it_has_ended, WATCHING, bound=2),
    Model(another_thread_is_waited_for_while_a_worker_comes, WATCHING),
    Model(all_is_worked_off, CREWS),
    Model(two_at_a_time, CREWS),
    Model(one_at_a_time, CREWS),
    Model(they_wait_for_each_other, CREWS),
    Model(something_is_added_when_the_last_one_leaves, CREWS, bound=2),
    Model(two_add_when_the_last_one_leaves, CREWS),
    Model(something_is_added_after_one_came_in_vain, CREWS),
    Model(the_threads_are_idle_when_all_is_over, CREWS),
    Model(two_wait_for_the_end, CREWS),
    Model(a_wait_is_over_before_the_work, CREWS),
    Model(the_system_has_one_thread_only, CREWS),
    Model(the_system_has_no_thread_at_first, CREWS),
    Model(a_call_waits_for_another_one, LENDING),
    Model(calls_wait_for_each_other_in_a_row, LENDING),
    Model(one_waits_for_who_wants_its_place_back, LENDING),
    Model(a_place_is_wanted_back_for_some_time_only, LENDING),
    Model(who_wants_its_place_back_is_told_to_stop, LENDING),
]

FAULTS = {
    "a worker whose time is up does not settle that it ends": Fault(
        _Worker,
        "_next",
        'if self.box.setdefault("job", _NO_MORE) is not _NO_MORE:\n'
        "                del pool.leaving[thread]  # at the last moment\n",
        "break\n",
        a_job_comes_when_a_worker_retires,
    ),
    "a job is put into the box of one that has ended": Fault(
        _Worker,
        "give",
        'if self.box.setdefault("job", job) is not job:',
        'self.box["job"] = job\n        if False:',
        a_job_comes_when_a_worker_retires,
    ),
    "a worker is not woken": Fault(
        _Worker,
        "give",
        "        return False\n        release(self.latch)",
        "        return False",
        a_worker_is_idle_before_it_is_told,
    ),
    "a worker is idle after it is told": Fault(
        _Worker,
        "_do",
        "        pool.idle.append(self)\n",
        "        job.after(job)\n        mine = False\n        pool.idle.append(self)\n",
        a_worker_is_idle_before_it_is_told,
    ),
    "a spoiled worker is used again": Fault(
        _Worker,
        "_do",
        "clean = not mine or job.run(job)",
        "clean = not mine or job.run(job) or True",
        a_worker_that_was_spoiled_is_not_used_again,
    ),
    "a job is claimed by looking": Fault(
        Job,
        "claim",
        "        self._claim.pop()\n",
        "        self._claim[0]\n        self._claim = []\n",
        two_claim_one_job,
    ),
    "a job that was called off is done": Fault(
        _Worker,
        "_do",
        "mine = job.claim()",
        "mine = job.claim() or True",
        a_job_is_called_off_when_its_worker_comes,
    ),
    "the idle are asked once, and then taken": Fault(
        _workers,
        "start",
        "except IndexError:  # somebody was quicker",
        "except KeyError:",
        two_find_one_idle_worker,
    ),
    "the one that waits longest is used first": Fault(
        _workers,
        "start",
        "worker = pool.idle.pop()",
        "worker = pool.idle.pop(0)",
        the_last_to_become_idle_is_used_first,
    ),
    "one that has retired stays among the idle": Fault(
        _Worker,
        "_next",
        "pool.idle.remove(self)",
        "pass",
        one_that_nobody_needs_ends,
    ),
    "who becomes idle tells only before that": Fault(
        _Worker,
        "_do",
        "        pool.idle.append(self)\n        if pool.watchers:",
        "        pool.idle.append(self)\n        if False:",
        one_is_waited_for_until_it_is_idle,
    ),
    "who comes is not known for a moment": Fault(
        _Worker,
        "live",
        "    pool.here[thread] = None  # first: it is in one of the two at any moment\n"
        "    pool.coming.pop(self, None)\n",
        "    pool.coming.pop(self, None)\n    pool.here[thread] = None\n",
        one_is_waited_for_until_it_is_idle,
    ),
    "who has not come yet is taken for another thread": Fault(
        _workers,
        "is_worker",
        "bool(list(_pool.coming)) or ",
        "",
        one_is_waited_for_until_it_is_idle,
    ),
    "who goes does not tell": Fault(
        _Worker,
        "live",
        "from here on there is nothing to wait for but its end\n    pool.tell(None)\n",
        "from here on there is nothing to wait for but its end\n",
        one_that_goes_is_waited_for_until_it_has_ended,
    ),
    "one of two is told": Fault(
        _Pool,
        "tell",
        "self.watchers.copy()",
        "self.watchers[:1]",
        two_wait_until_one_is_idle,
    ),
    "who waits looks before he says so": Fault(
        _leaks,
        "outlast",
        "        news.clear()  # first: what is told from here on may be seen below, or not\n"
        "            if thread in _workers.idle():\n                return True\n",
        "        if thread in _workers.idle():\n                return True\n"
        "            news.clear()\n",
        one_is_waited_for_until_it_is_idle,
    ),
    "a lane leaves without looking again": Fault(
        Crew,
        "_left",
        "    if more:\n        self.call_another()",
        "    pass",
        two_add_when_the_last_one_leaves,
    ),
    "a lane that came in vain is still taken for one that comes": Fault(
        Crew,
        "_left",
        "if self.coming is job:",
        "if False:",
        something_is_added_after_one_came_in_vain,
    ),
    "a lane that was called off stays on the books": Fault(
        Crew,
        "_left",
        "del self.lanes[self.coming]",
        "pass",
        all_is_worked_off,
    ),
    "a lane that has begun is called off": Fault(
        Crew,
        "_left",
        "self.coming is not None and self.coming.claim()",
        "self.coming is not None",
        all_is_worked_off,
    ),
    "one more than the limit": Fault(
        Crew,
        "call",
        "len(self.lanes) >= self.limit",
        "len(self.lanes) > self.limit",
        one_at_a_time,
    ),
    "who has taken something does not send for the next one": Fault(
        Crew,
        "arrived",
        "    self.call_another()",
        "    pass",
        they_wait_for_each_other,
    ),
    "who has come is still taken for one that comes": Fault(
        Crew,
        "arrived",
        "self.coming = None",
        "pass",
        they_wait_for_each_other,
    ),
    "the end is told to one": Fault(
        Crew,
        "tell_if_gone",
        "for held in self._gone:",
        "for held in [*self._gone][:1]:",
        two_wait_for_the_end,
    ),
    "who waits for the end is listed without a look": Fault(
        Crew,
        "wait",
        "if self.is_gone():",
        "if False:",
        all_is_worked_off,
    ),
    "one is given up that has left": Fault(
        Crew,
        "_count_off",
        "abandoned.discard(job.thread)",
        "pass",
        a_wait_is_over_before_the_work,
    ),
    "a lane that could not come stays on the books": Fault(
        Crew,
        "call",
        "self._call_off(job)",
        "pass",
        the_system_has_no_thread_at_first,
    ),
    "a place is lent and nobody is sent for": Fault(
        Crew,
        "lend",
        "    self.call_another()",
        "    pass",
        a_call_waits_for_another_one,
    ),
    "a place is taken back that is not free": Fault(
        Crew,
        "take_back",
        "if len(self.lanes) < self.limit:",
        "if True:",
        a_call_waits_for_another_one,
    ),
    "a place is lent to others than who waits for it": Fault(
        Crew,
        "lend",
        "self._give_back()",
        "pass",
        one_waits_for_who_wants_its_place_back,
        runs=2000,
    ),
    "a place is given back, and still lent": Fault(
        Crew,
        "_give_back",
        "self.limit -= 1",
        "pass",
        calls_wait_for_each_other_in_a_row,
    ),
    "a lane takes the next though its place is wanted": Fault(
        Crew,
        "must_leave",
        "bool(self._lenders) or",
        "False and",
        a_call_waits_for_another_one,
    ),
    "a leaving lane gives no place back": Fault(
        Crew,
        "_left",
        "self._give_back()",
        "pass",
        a_call_waits_for_another_one,
    ),
    "a wait that was given up keeps the place": Fault(
        Crew,
        "take_back",
        "            self._lenders.remove(held)\n                self.limit -= 1",
        "            self._lenders.remove(held)",
        a_place_is_wanted_back_for_some_time_only,
    ),
}


class TestWorkers(Composed):
    models = MODELS
    faults = FAULTS
