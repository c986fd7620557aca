"""What runs now, gathered without a lock: the tree that `dump_tree` draws.

What is found where: scopes, groups and runs of calls have entered themselves (`_live`), threads are
known to the interpreter, the pools to `_pools`. A scope knows the one around it, and the thread
that has entered it; a task the scope it was started in. So everything is hung below the innermost
thing around it that is there, in the branch of the thread that it is in.

Who may run between which lines: everybody, see `_tree`. Nothing here is called that takes a lock,
makes a scope, or is the user's; what is read may be over when it is drawn.
"""

# A scope's inner names are not for its users, but for the floors that are built on it.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import math
import os
import threading

from joinable import _frames, _live, _pools, _runtime, _workers
from joinable._batch import Batch
from joinable._calls import READING, Calls
from joinable._chain import LINK, PARENT
from joinable._check import called, plain
from joinable._drawing import Node
from joinable._group import TaskGroup
from joinable._running import Running, abandoned
from joinable._scope import CancelScope
from joinable._thread import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from joinable._abroad import Abroad
    from joinable._chain import Link
    from joinable._crew import Crew
    from joinable._frames import Origin
    from joinable._staff import Staff

__all__ = ["grown"]

_OF_OURS = "joinable-reports", "joinable-timer", "joinable-worker-"
"""With these begin the names of threads that run nothing of the user's."""

_REASON = 60  # characters that are shown of it


def grown() -> list[Node]:
    """Return the roots of the tree, the main thread's first."""
    return _Growth().roots()


class _Growth:
    """One look at everything."""

    def __init__(self) -> None:
        self.now = _runtime.monotonic()
        self.frames: dict[int, FrameType] = _frames.frames()
        self.threads = _threads()
        self.at: dict[int, Node] = {}  # what stands for each scope, by its id
        self.lanes: dict[tuple[int, int], Node] = {}  # and for each thread in it
        self.busy: dict[int, Node] = {}  # threads that stand somewhere
        self.tops: dict[int, Node] = {}  # threads that stand at the top
        self.loose = Node("", "")  # what is in no scope, and in no thread that is drawn
        self.workers = {thread.ident for thread in _workers.idle()}
        self.given_up = {id(thread) for thread in abandoned.copy()}
        self.hung: list[tuple[Node, Link | None, int | None]] = []  # what is to be hung where
        self.pools: list[Node] = []

    def roots(self) -> list[Node]:
        """Gather everything, and hang each thing below the one that it belongs to."""
        things = _live.found()
        for thing in things:  # first: their scopes are not to be drawn a second time
            if isinstance(thing, TaskGroup):
                self._add_group(thing)
            elif isinstance(thing, Calls):
                self._add_calls(thing)
        for thread in self.threads.values():
            if isinstance(thread, Thread):
                self._add_thread(thread)  # pyright: ignore[reportUnknownArgumentType]
        for staff in _staffs():
            self._add_pool(staff)
        for thing in things:
            if isinstance(thing, CancelScope) and thing._is_open() and id(thing) not in self.at:
                self._add_scope(thing)
        for node, link, ident in self.hung:
            home = self._home(link, ident, node)
            # A scope that was never left, and a thread that has its number by now: close no circle.
            (self.loose if home.is_in(node) else home).hang(node)
        return self._in_order()

    # ---------------------------------------------------------------- what there is

    def _add_scope(self, scope: CancelScope) -> None:
        node = Node("scopes", f"scope, {self._state(scope)}", ident=scope._thread)
        node.where = self._entered(scope)
        self._put(node, scope, scope._parent, scope._thread)

    def _add_group(self, group: TaskGroup) -> None:
        scope, crew = group._scope, group._crew
        running = crew.running.copy()
        if group._process != os.getpid() or not (scope._is_open() or running):
            return
        kind = "run_any" if group._name == "run_any" else f"group {group._name!r}"
        self._know(crew)
        state = group._closed or "open"
        node = Node("groups", f"{kind}: {state}, {len(running)} running, {len(crew.todo)} waiting")
        node.ident = scope._thread
        node.title += self._times(scope, group._limit)
        node.where = self._entered(scope) if scope._is_open() else "its block was left"
        outer = scope if group._limit is None else group._limit
        if group._limit is not None:
            self.at[id(group._limit)] = node
        self._put(node, scope, outer._parent, scope._thread)
        for call in running:
            self._add_task(call, node, call._runner)

    def _add_calls(self, calls: Calls) -> None:
        scope = calls.scope
        lanes = calls.running.copy()
        if not scope._is_of_this_process() or not (scope._is_open() or lanes):
            return
        self._know(calls)
        state = "open" if scope._is_open() else "left"
        state = "stopping" if scope._is_open() and scope._requested else state
        node = Node("runs", f"{calls.what}: {state}, {calls.counts()}{self._times(scope)}")
        node.ident = scope._thread
        if _frames.is_users(calls.place[0]):  # else a thread was given `run_all` itself to call
            node.where = f"called at {_frames.show(calls.place)}"
        self._put(node, scope, scope._parent, scope._thread)
        origin = calls.origin()
        for thread, spot in lanes.items():
            index = spot.at()
            if index >= READING:
                self._add_lane(node, scope, thread.ident, _call_name(calls, index), origin)
        if hasattr(calls, "works"):  # an `Abroad`, of a module that few programs load
            self._add_works(calls, node, scope, origin)  # type: ignore[arg-type]

    def _add_works(self, calls: Abroad, node: Node, scope: Link, origin: Origin) -> None:
        for index, work in calls.works.copy().items():
            if index not in calls.pending:
                continue
            name = _call_name(calls, index)
            if work.ident is None:
                node.hang(Node("calls", f"{name}: handed in", f"at the {calls.kind}"))
            else:
                self._add_lane(node, scope, work.ident, name, origin)

    def _add_lane(
        self, node: Node, scope: Link, ident: int | None, name: str, origin: Origin
    ) -> None:
        word = "abandoned" if self._is_given_up(ident) else self._word(scope, None)
        lane = Node("calls", f"{name}: {word}", self._where(ident, origin), ident)
        node.hang(lane)
        if ident is not None:
            self.lanes[id(scope), ident] = self.busy[ident] = lane

    def _add_thread(self, thread: Thread[object]) -> None:
        ident, launch = thread.ident, thread._launch
        if launch is None or ident is None or thread._is_inherited():
            return
        node = Node("threads", f"thread {_name(thread)!r}", ident=ident)
        self._tell_task(node, thread, "daemon" if thread.daemon else "")
        if launch.seat[LINK] is not None:
            self.at[id(launch.seat[LINK])] = node
        self.hung.append((node, launch.seat[PARENT], None))
        self.busy[ident] = node

    def _add_task(self, task: Running[object], above: Node, ident: int | None) -> None:
        node = Node("tasks", f"task {task._name!r}", ident=ident)
        self._tell_task(node, task)
        seat = task._seat()  # once: the end lets go of it
        if seat is not None and seat[LINK] is not None:
            self.at[id(seat[LINK])] = node
        above.hang(node)
        if ident is not None:
            self.busy[ident] = node

    def _add_pool(self, staff: Staff) -> None:
        spots = staff.spots.copy().items()
        running = [(errand, ident) for ident, spot in spots if (errand := spot[:][0]) is not None]
        self._know(staff)
        if staff.closed and not (running or staff.todo):
            return
        state = f"closed by {staff.closed}" if staff.closed else "open"
        room = "" if staff.backlog is None else f", room for {staff.backlog}"
        counts = f"{len(running)} running, {len(staff.todo)} waiting{room}"
        node = Node("pools", f"pool {staff.name!r}: {state}, {counts}")
        node.more = (f"{len(staff.lanes)} of {staff.limit:g} threads, {len(staff.parked)} idle",)
        self.pools.append(node)
        for errand, ident in running:
            self._add_task(errand, node, ident)

    # ---------------------------------------------------------------- what is told of it

    def _tell_task(self, node: Node, task: Running[object], *more: str) -> None:
        launch, seat = task._launch, task._seat()  # once: the end lets go of it
        own = None if seat is None else seat[LINK]
        scope = own if seat is None else own or seat[PARENT]
        given_up = task.done() and self._is_given_up(node.ident)
        words = ["abandoned" if given_up else self._word(scope, own)]
        if launch is not None:
            words.append(f"{_seconds(self.now - launch.since)} old")
        words += [*filter(None, (self._left(scope), *more))]
        node.title += ": " + ", ".join(words)
        node.where = self._where(node.ident, task._origin())

    def _is_given_up(self, ident: int | None) -> bool:
        return id(self.threads.get(ident or 0)) in self.given_up

    def _know(self, crew: Crew) -> None:
        """Do not list its workers that are between two calls among the threads of others."""
        for job in crew.lanes.copy():
            if job.thread is not None:
                self.workers.add(job.thread.ident)

    def _word(self, around: Link | None, own: Link | None) -> str:
        """Say whether what runs there is to stop: by itself, or by a scope around it."""
        if own is not None and own._requested:
            return "asked to stop"
        asking = [scope for scope in self._reach(around) if scope._asks(self.now)]
        return "asked to stop" if asking else "running"

    def _reach(self, link: Link | None) -> list[Link]:
        """Return the scopes that can stop what runs in one, wherever that is: as `_chain.reach`."""
        found: list[Link] = []
        while link is not None:
            if link._is_open():
                found.append(link)
                if link._shields(self.now):
                    break
            elif link._stays and link._is_of_this_process():
                found.append(link)
            link = link._parent
        return found

    def _left(self, link: Link | None) -> str:
        ends = [scope._deadline for scope in self._reach(link)]
        return self._span(min(ends, default=math.inf))

    def _span(self, deadline: float) -> str:
        if deadline == math.inf:
            return ""
        left = deadline - self.now
        return f"{_seconds(left)} left" if left > 0 else f"late by {_seconds(-left)}"

    def _state(self, scope: CancelScope) -> str:
        words = [f"{_seconds(self.now - scope._since)} old"]
        if scope._requested:
            words.append(f"cancelled{_reason(scope._reason)}")
        if scope._deadline < math.inf:
            words.append(self._span(scope._deadline))
        if scope._shields(self.now):
            more = scope._shield_until - self.now
            words.append("a shield" + (f" for {_seconds(more)} more" if more < math.inf else ""))
        return ", ".join(words)

    def _times(self, *scopes: CancelScope | None) -> str:
        there = [scope for scope in scopes if scope is not None]
        age = f"{_seconds(self.now - there[0]._since)} old"
        left = self._span(min(scope._deadline for scope in there))
        return ", ".join(["", age, *filter(None, [left])])

    def _entered(self, scope: CancelScope) -> str | None:
        return None if scope._place is None else f"entered at {_frames.show(scope._place)}"

    def _where(self, ident: int | None, origin: Origin | None = None) -> str | None:
        frame = None if ident is None else self.frames.get(ident)
        return "about to begin, or at its end" if frame is None else _frames.describe(frame, origin)

    # ---------------------------------------------------------------- where it belongs

    def _put(self, node: Node, scope: Link, around: Link | None, ident: int | None) -> None:
        self.at[id(scope)] = node
        self.hung.append((node, around, ident))

    def _home(self, link: Link | None, ident: int | None, node: Node) -> Node:
        """Return what stands for the innermost scope that is drawn, in the branch of the thread."""
        while link is not None:
            found = self.at.get(id(link))
            if found is not None and found is not node:
                if ident is None or found.ident == ident:
                    return found
                return self.lanes.get((id(link), ident)) or self._lodger(found, link, ident)
            link = link._parent
        return self._top(ident)

    def _lodger(self, above: Node, link: Link, ident: int) -> Node:
        """Return the branch of a thread that is in a scope, and was not started by us."""
        node = self._thread_node(ident)
        above.hang(node)
        self.lanes[id(link), ident] = self.busy[ident] = node
        return node

    def _top(self, ident: int | None) -> Node:
        if ident is None:
            return self.loose
        if ident in self.busy:
            return self.busy[ident]
        if ident not in self.tops:
            self.tops[ident] = self._thread_node(ident)
        return self.tops[ident]

    def _thread_node(self, ident: int) -> Node:
        thread = self.threads.get(ident)
        if thread is None:
            return Node("threads", f"thread {ident}, of nobody's", self._where(ident), ident)
        name = "main thread" if thread is threading.main_thread() else f"thread {_name(thread)!r}"
        return Node("threads", name, self._where(ident, _target_of(thread)), ident)

    def _in_order(self) -> list[Node]:
        main = threading.main_thread().ident
        first = self._top(main)
        tops = [node for node in self.tops.values() if node is not first]
        others = [
            self._thread_node(ident)
            for ident in {**self.threads, **self.frames}
            if not (ident in self.busy or ident in self.tops or self._is_ours(ident))
        ]
        last = Node("", "threads that run nothing of the library")
        last.below = others
        idle = len(_workers.idle())
        head = f"What runs in process {os.getpid()}: {len(self.frames)} threads"
        head += f", {idle} of them idle workers" if idle else ""
        pools = sorted(self.pools, key=lambda node: not node.below)
        return [Node("", head), first, *tops, *self.loose.below, *pools, *([last] * bool(others))]

    def _is_ours(self, ident: int) -> bool:
        thread = self.threads.get(ident)
        return ident in self.workers or (thread is not None and _name(thread).startswith(_OF_OURS))


def _threads() -> dict[int, threading.Thread]:
    # Not `enumerate`, which takes a lock; the name is the same on 3.11 to 3.15.
    known: dict[int, threading.Thread] | None = getattr(threading, "_active", None)
    if known is not None:
        return known.copy()
    return {thread.ident or 0: thread for thread in threading.enumerate()}


def _staffs() -> list[Staff]:
    """Return those of the pools."""
    return [staff for each in _pools.staffs() if (staff := each()) is not None]


def _name(thread: threading.Thread) -> str:
    # Not `name`, which a subclass may have made of something else.
    return str(vars(thread).get("_name", "?"))


def _target_of(thread: threading.Thread) -> Origin | None:
    """Tell what a thread of somebody else's was given to call."""
    target: object = vars(thread).get("_target")
    return None if target is None else _frames.Origin(called(target), "")


def _call_name(calls: Calls, index: int) -> str:
    if index == READING or not isinstance(calls, Batch):
        return calls.say(index)
    try:
        return f"call {plain(calls.keys[index])}"
    except IndexError:
        return f"call {index}"


def _reason(reason: object) -> str:
    if isinstance(reason, BaseException):
        return f" because of {type(reason).__name__}"
    return f" ({reason[:_REASON]})" if isinstance(reason, str) else ""


def _seconds(seconds: float) -> str:
    """Write a time as people say it: to a tenth, and long ones in minutes and hours."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
