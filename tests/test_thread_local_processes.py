"""What only a whole process shows of a `ThreadLocal`: its exit, forks, and other interpreters."""

from __future__ import annotations

import os
import sys

import pytest

from processes import run

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


def output(code: str) -> list[str]:
    """Run a program that ends in order and complains of nothing; return what it prints."""
    process = run(code)
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout.splitlines()


CONNECTIONS = """
    import atexit, sqlite3, threading
    from joinable import TaskGroup, ThreadLocal, run_all, run_each, spawn

    class Connection(sqlite3.Connection):
        opened, closed, wrong = [], [], []
        def __init__(self, path):
            super().__init__(path)  # check_same_thread is on
            self.owner = threading.get_ident()
            self.opened.append(self)
        def close(self):
            super().close()  # raises in any other thread
            (self.closed if self.owner == threading.get_ident() else self.wrong).append(self)

    def report():
        opened, closed = len(Connection.opened), len(Connection.closed)
        print("a thousand for each thread", opened >= 2000 and opened % 1000 == 0)
        print("left", opened - closed, "closed elsewhere", len(Connection.wrong))
    atexit.register(report)  # the first, so called last: when all that the exit closes is closed

    def use(number):
        connections = [local.get() for local in many]
        for connection in connections[number % 50 :: 50]:
            assert connection.execute("select ?", (number,)).fetchone() == (number,)

    many = [
        ThreadLocal(lambda: Connection(":memory:"), on_exit=Connection.close, per="thread")
        for _ in range(1000)
    ]
    for _ in range(8):
        run_all([lambda n=n: use(n) for n in range(6)], max_workers=2)
        with TaskGroup(max_workers=2) as group:
            tasks = [group.spawn(use, n) for n in range(6)]
        list(run_each(use, range(6), max_workers=2))
        list(run_each(use, range(6), max_workers=2, buffersize=None))
    print("open while the threads live", len(Connection.opened) > len(Connection.closed))
    threads = [spawn(use, n) for n in range(2)]
    for thread in threads:
        thread.join()
    """


def test_a_thousand_connections_of_each_thread_are_closed_in_that_thread() -> None:
    assert output(CONNECTIONS) == [
        "open while the threads live True",
        "a thousand for each thread True",
        "left 0 closed elsewhere 0",
    ]


# -------------------------------------------------------------------- the exit

VALUES = """
    import os, sys, threading, time
    from joinable import TaskGroup, Thread, ThreadLocal, run_all, sleep, spawn
    main = threading.get_ident()
    def close(value):
        where = "main" if threading.get_ident() == main else threading.current_thread().name
        sys.stdout.write(f"closed {value} in {where}\\n")
        sys.stdout.flush()
    def of(per):
        return ThreadLocal(lambda: "made", on_exit=close, per=per)
    task, thread = of("task"), of("thread")
    """


def test_the_exit_closes_what_the_main_thread_has() -> None:
    code = """
    thread.set("one")
    task.set("two")
    task.set("three")
    """
    assert output(VALUES + code) == [
        "closed two in main",
        "closed three in main",
        "closed one in main",
    ]


def test_an_error_at_the_exit_is_reported_and_the_others_are_closed() -> None:
    done = run(
        VALUES
        + """
    def fail(value): raise ValueError(value)
    bad = ThreadLocal(lambda: "bad", on_exit=fail)
    task.get(), bad.get(), thread.get()
    """
    )
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["closed made in main"] * 2
    assert done.stderr.startswith("Exception in thread MainThread:")
    assert "ValueError: bad\nin on_exit=<function fail at" in done.stderr


def test_the_exit_lets_idle_workers_close_what_they_have() -> None:
    code = """
    together = threading.Barrier(3)
    def call(number):
        thread.set(number)
        together.wait()
    with TaskGroup() as group:
        for number in range(3):
            group.spawn(call, number)
    """
    closed = output(VALUES + code)
    assert [line.partition(" in joinable-worker-")[0] for line in sorted(closed)] == [
        "closed 0",
        "closed 1",
        "closed 2",
    ]
    assert len({line.partition(" in ")[2] for line in closed}) == 3


def test_the_exit_does_not_wait_for_ever_for_what_does_not_close() -> None:
    code = """
    from joinable import _workers
    _workers.LAST_CHANCE = 0.2
    stuck = ThreadLocal(lambda: "x", on_exit=lambda _: threading.Event().wait(), per="thread")
    run_all([lambda: (thread.get(), stuck.get())])
    """
    done = run(VALUES + code)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "the exit has waited for 0.2 s and leaves joinable-worker-1\n"


def test_the_exit_stops_daemons_which_close_what_they_have() -> None:
    code = """
    there = threading.Event()
    def call():
        task.get(), thread.get()
        there.set()
        sleep(1000)
    Thread(target=call, name="daemon", daemon=True).start()
    there.wait()
    """
    assert output(VALUES + code) == ["closed made in daemon"] * 2


def test_the_exit_waits_for_threads_that_are_no_daemons() -> None:
    code = """
    def call():
        threading.main_thread().join()  # the main thread is at its end now
        task.get(), thread.get()
    spawn(call)._name
    threading.Thread(target=call).start()
    """
    closed = output(VALUES + code)
    assert len(closed) == 4
    assert not any(line.endswith("main") for line in closed)


def test_nothing_is_closed_of_a_daemon_that_runs_on() -> None:
    code = """
    there = threading.Event()
    def call():
        task.get(), thread.get()
        there.set()
        threading.Event().wait()
    threading.Thread(target=call, daemon=True).start()
    there.wait()
    """
    assert output(VALUES + code) == []


def test_who_uses_none_of_it_does_not_load_it() -> None:
    code = """
    import sys, joinable
    assert joinable.run_all([int]) == [0]
    print(sorted(name for name in sys.modules if name in
        ("joinable._bind", "joinable._context", "joinable._owned", "joinable._thread_local")))
    print("bind" in dir(joinable), joinable.ThreadLocal is joinable.ThreadLocal)
    print(joinable.ThreadLocal[int].__name__, "typing" in sys.modules)
    try:
        joinable.nothing
    except AttributeError as error:
        print(error)
    """
    *lines, message = output(code)
    assert lines[:2] == ["[]", "True True"]
    assert lines[2].startswith("ThreadLocal")
    assert message == "module 'joinable' has no attribute 'nothing'"


# -------------------------------------------------------------------- forks

FORK = """
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    def child(call):
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            call()
            sys.exit()
        os.waitpid(pid, 0)
        print("the child has ended")
    """


@needs_fork
def test_a_child_sees_what_its_thread_had_and_does_not_close_it() -> None:
    code = """
    def look():
        print("it sees", task.get(), thread.get())
        task.set("the child's")
        run_all([lambda: thread.set("of its worker")])
    task.set("the parent's")
    thread.set("the parent's, too")
    child(look)
    """
    lines = output(VALUES + FORK + code)
    assert lines[0] == "it sees the parent's the parent's, too"
    assert sorted(line.rstrip("0123456789") for line in lines[1:3]) == [
        "closed of its worker in joinable-worker-",
        "closed the child's in main",
    ]
    assert lines[3:] == [
        "the child has ended",
        "closed the parent's in main",
        "closed the parent's, too in main",
    ]


@needs_fork
def test_a_child_forgets_what_other_threads_had() -> None:
    code = """
    there, gate = threading.Barrier(3), threading.Event()
    def hold():
        thread.set(threading.current_thread().name)
        there.wait()
        gate.wait()
    run_all([lambda: thread.set("a worker's")])
    others = [spawn(hold), threading.Thread(target=hold)]
    others[0].name = "ours"
    others[1].name = "theirs"
    others[1].start()
    there.wait()
    child(lambda: None)
    gate.set()
    for other in others:
        other.join()
    """
    lines = output(VALUES + FORK + code)
    assert lines[0] == "the child has ended"
    assert len(lines) == 4
    assert all(line.startswith("closed ") for line in lines[1:])


@needs_fork
def test_a_thread_that_forks_is_the_only_one_of_the_child() -> None:
    code = """
    def call():
        task.set("the parent's")
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            print("the child has ended")
        else:
            print("it sees", task.get())
            task.set("the child's")
    spawn(call).join()
    """
    assert output(VALUES + FORK + code) == [
        "it sees the parent's",
        "closed the child's in Thread-1 (call)",
        "the child has ended",
        "closed the parent's in Thread-1 (call)",
    ]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="such a child runs no atexit hook before")
@needs_fork
def test_a_child_of_multiprocessing_closes_what_is_its_own() -> None:
    code = """
    import multiprocessing
    def call():
        print("it sees", thread.get())
        task.set("the child's")
        run_all([lambda: thread.set("of its worker")])
    thread.set("the parent's")
    run_all([lambda: thread.set("of a worker")])
    sys.stdout.flush()
    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    process.join()
    print("the child has ended")
    """
    lines = output(VALUES + FORK + code)
    assert lines[0] == "it sees the parent's"
    assert sorted(line.partition(" in ")[0] for line in lines[1:3]) == [
        "closed of its worker",
        "closed the child's",
    ]
    assert lines[3] == "the child has ended"
    assert len(lines) == 6


@pytest.mark.skipif(sys.version_info < (3, 14), reason="no public module for subinterpreters")
def test_a_subinterpreter_closes_what_its_threads_have() -> None:
    done = run(
        """
        from concurrent import interpreters
        interpreters.create().exec('''
        from joinable import ThreadLocal, run_all, spawn
        closed = []
        def close(value):
            print("closed", value, flush=True)
        local = ThreadLocal(list, on_exit=close, per="thread")
        run_all([lambda: local.set("of a worker")])
        spawn(local.set, "of a thread").join()
        local.set("of the main thread")
        ''')
        """.replace("\n        ", "\n")
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == [
        "closed of a thread",
        "closed of a worker",
        "closed of the main thread",
    ]
