"""What only a whole process shows of groups and workers: Ctrl-C, exit, fork, subinterpreters."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from processes import LIMIT, run, signalled

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

# -------------------------------------------------------------------- Ctrl-C


SLEEPERS = """
    import time, joinable
    from joinable import TaskGroup, sleep
    begun = threading.Barrier(4)
    def sleeper(number):
        begun.wait()
        try:
            sleep(1000)
        finally:
            sys.stdout.write("cleaned up\\n")  # in one piece, as `print` does not
    def main():
        {block}
    def told():
        begun.wait()
        cue("running")
    threading.Thread(target=told).start()
    try:
        main()
    except KeyboardInterrupt as error:
        print("interrupted", error.__context__, getattr(error, "__notes__", []))
        print("left", [t.name for t in threading.enumerate() if t.name.startswith("TaskGroup")])
    """

BLOCKS = {
    "joining": "with TaskGroup() as g: tasks = [g.spawn(sleeper, n) for n in range(3)]",
    "in the block": "with TaskGroup() as g: [g.spawn(sleeper, n) for n in range(3)]; sleep(1000)",
    "run_all": "joinable.run_all([lambda: sleeper(1)] * 3)",
    "run_any": "joinable.run_any([lambda: sleeper(1)] * 3)",
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=list(BLOCKS))
def test_ctrl_c_once_lets_sleeping_children_clean_up_and_ends_within_a_second(block: str) -> None:
    code, out, err = signalled(
        SLEEPERS.format(block=block)
        + """
    end = time.monotonic() - interrupted_at[0]
    print("in time", end < 1, file=sys.stderr)
    """,
        signal.SIGINT,
        prepare=INTERRUPTED_AT,
    )
    expected = "running\n" + "cleaned up\n" * 3 + "interrupted None []\nleft []\n"
    assert (code, out, err) == (0, expected, "in time True\n")


# Notes when the interrupt is handled, and is one still.
INTERRUPTED_AT = """
    import signal, time
    interrupted_at = []
    def interrupt(*arguments):
        interrupted_at.append(time.monotonic())
        signal.default_int_handler(*arguments)
    signal.signal(signal.SIGINT, interrupt)
"""

STUCK = """
    import joinable
    from joinable import TaskGroup
    begun = threading.Event()
    def stuck():
        begun.set()
        threading.Event().wait()
    def told():
        begun.wait()
        cue("running")
    threading.Thread(target=told).start()
    {patch}
    with TaskGroup(name="g") as group:
        task = group.spawn(stuck)
    """


def test_ctrl_c_twice_ends_within_a_second_though_a_child_is_stuck_and_names_it() -> None:
    patch = """
    outlast = TaskGroup._outlast
    def outlasting(self):
        if interrupted_at:  # the first one has come
            cue("again")
        outlast(self)
    TaskGroup._outlast = outlasting
    import atexit
    atexit.register(lambda: print(time.monotonic() - interrupted_at[1] < 1))
    """
    code, out, err = signalled(
        STUCK.format(patch=patch), signal.SIGINT, signal.SIGINT, prepare=INTERRUPTED_AT
    )
    assert out == "running\nagain\nTrue\n"
    assert code in {1, 130, -signal.SIGINT}
    assert "KeyboardInterrupt" in err
    assert "'g' left these calls running: g-1 (stuck) at " in err
    assert "in stuck" in err


def test_a_ctrl_c_in_the_block_and_one_while_it_joins_are_twice() -> None:
    code, out, err = signalled(
        """
        from joinable import TaskGroup, sleep
        begun = threading.Event()
        def stuck():
            begun.set()
            threading.Event().wait()
        outlast = TaskGroup._outlast
        def outlasting(self):
            cue("joining")
            outlast(self)
        TaskGroup._outlast = outlasting
        try:
            with TaskGroup(name="g") as group:
                task = group.spawn(stuck)
                begun.wait()
                cue("in the block")
                sleep(1000)
        except KeyboardInterrupt as error:
            print(*error.__notes__)
        """,
        signal.SIGINT,
        signal.SIGINT,
    )
    assert (code, err) == (0, "")
    assert out.startswith("in the block\njoining\n'g' left these calls running: g-1 (stuck) at ")


def test_an_error_of_a_call_that_was_left_is_reported() -> None:
    code, out, err = signalled(
        """
        from joinable import TaskGroup, abandoned_threads
        gate, begun = threading.Event(), threading.Event()
        def stuck():
            begun.set()
            gate.wait()
            raise ValueError("too late")
        outlast = TaskGroup._outlast
        def outlasting(self):
            begun.wait()
            cue("again" if self._errors else "first")
            outlast(self)
        TaskGroup._outlast = outlasting
        TaskGroup._wait_in_scope = lambda self: setattr(self, "_told_to_stop", True)
        try:
            with TaskGroup() as group:
                task = group.spawn(stuck)
        except KeyboardInterrupt as error:
            print(len(error.__notes__), len(abandoned_threads()))
        gate.set()
        while not task.done() or abandoned_threads():
            pass
        print(task.done())
        """,
        signal.SIGINT,
        signal.SIGINT,
    )
    assert (code, out) == (0, "first\nagain\n1 1\nTrue\n"), err
    assert err.count("ValueError: too late") == 1


# -------------------------------------------------------------------- exit


def test_a_daemon_thread_is_told_at_exit_and_its_finally_runs() -> None:
    done = run(
        """
        import threading, joinable
        begun = threading.Event()
        def call():
            try:
                begun.set()
                joinable.sleep(1000)
            finally:
                print("last words", flush=True)
        thread = joinable.Thread(target=call, daemon=True)
        thread.start()
        begun.wait()
        print("leaving", flush=True)
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\nlast words\n", "")


def test_a_daemon_thread_that_does_not_stop_holds_the_exit_for_a_second_only() -> None:
    begun = time.monotonic()
    done = run(
        """
        import threading, joinable
        for _ in range(3):
            joinable.Thread(target=threading.Event().wait, daemon=True).start()
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert 1 <= time.monotonic() - begun < LIMIT / 2


def test_idle_workers_do_not_hold_the_exit() -> None:
    begun = time.monotonic()
    done = run(
        """
        import threading, joinable
        joinable.run_all([threading.Barrier(10).wait] * 10)
        print(len(joinable._workers.idle()))
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) >= 10
    assert time.monotonic() - begun < 8  # and no ten seconds


@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 3),
    reason="3.12.0 to 3.12.2 start no thread once the main one has ended (gh-113964)",
)
def test_a_group_of_a_thread_that_is_no_daemon_is_finished_at_exit() -> None:
    done = run(
        """
        import threading, joinable
        def work():
            threading.main_thread().join()
            with joinable.TaskGroup() as group:
                tasks = [group.spawn(pow, 2, n) for n in range(5)]
                more = group.spawn(joinable.run_all, [int, str])
            print([task.result() for task in tasks], more.result(), flush=True)
        joinable.spawn(work)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[1, 2, 4, 8, 16] [0, '']\n"


def test_workers_that_run_do_not_hold_the_exit_when_nobody_joins_them() -> None:
    """A group of a daemon, which the exit has told to stop, and which does not."""
    done = run(
        """
        import threading, joinable
        begun = threading.Event()
        def stuck():
            begun.set()
            threading.Event().wait()
        def work():
            with joinable.TaskGroup() as group:
                group.spawn(stuck)
        joinable.Thread(target=work, daemon=True).start()
        begun.wait()
        print("leaving")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


def test_abandoned_threads_do_not_hold_the_exit() -> None:
    begun = time.monotonic()
    done = run(
        """
        import threading, joinable
        stuck = threading.Event().wait
        def group():
            with joinable.TaskGroup(grace=0.01) as group:
                group.spawn(stuck)
                group.cancel()
        def thread():
            alone = joinable.Thread(target=stuck, timeout=0.01)
            alone.start()
            alone.result()
        def left(call):
            try:
                call()
            except (joinable.DeadlineExceeded, ExceptionGroup) as error:
                return type(error).__name__
        for call in (group, lambda: joinable.run_all([stuck], timeout=0.01),
                     lambda: joinable.run_any([stuck], timeout=0.01), thread):
            held = len(joinable.abandoned_threads())
            # On a busy machine a call is stopped before it began; that one leaves no thread.
            while len(joinable.abandoned_threads()) == held:
                raised = left(call)
            print(raised)
        print(len(joinable.abandoned_threads()))
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["ExceptionGroup", *["DeadlineExceeded"] * 3, "4"]
    assert time.monotonic() - begun < LIMIT / 2


# -------------------------------------------------------------------- fork


FORK = """
    import os, sys, threading, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    import joinable
    from joinable import TaskGroup, run_all
    def wait_for(child):
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\\n")
        sys.stdout.flush()
"""


@needs_fork
def test_the_child_of_a_fork_forgets_the_workers_and_makes_its_own() -> None:
    done = run(
        FORK
        + """
    run_all([threading.Barrier(5).wait] * 5)
    assert len(joinable._workers.idle()) >= 5
    child = os.fork()
    if not child:
        assert joinable._workers.idle() == []
        together = threading.Barrier(3)
        assert sorted(run_all([together.wait] * 3)) == [0, 1, 2]
        with TaskGroup(max_workers=1) as group:
            task = group.spawn(int, "7")
        assert task.result() == 7
        assert joinable.run_any([int]) == 0
        sys.exit(3)
    wait_for(child)
    assert run_all([int]) == [0]
    """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


@needs_fork
def test_a_fork_inside_a_group_leaves_the_child_without_its_calls() -> None:
    done = run(
        FORK
        + """
    gate, begun = threading.Event(), threading.Event()
    def call():
        begun.set()
        gate.wait()
        return "the parent's"
    with TaskGroup() as group:
        task = group.spawn(call)
        begun.wait()
        child = os.fork()
        if not child:
            try:
                task.result()
            except RuntimeError as error:
                print(error, flush=True)
            try:
                group.spawn(int)
            except RuntimeError as error:
                print(error, flush=True)
        else:
            wait_for(child)
            gate.set()
    if not child:
        # The block was left, and nobody had to be waited for.
        assert run_all([int, str]) == [0, ""]
        with TaskGroup() as other:
            own = other.spawn(int, "7")
        os._exit(own.result())
    print(task.result())
    """
    )
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0] == ("'TaskGroup-1-1 (call)' runs in the process that forked this one, not here")
    assert lines[1] == "'TaskGroup-1' is of the process that forked this one"
    assert lines[2:] == ["7", "the parent's"]


@needs_fork
def test_a_fork_in_a_call_of_a_group_can_use_the_library() -> None:
    done = run(
        FORK
        + """
    def call():
        child = os.fork()
        if not child:
            try:
                with TaskGroup() as own:
                    task = own.spawn(int, "7")
                os._exit(task.result())
            finally:
                os._exit(1)
        wait_for(child)
    with TaskGroup(max_workers=2) as group:
        group.spawn(call)
        group.spawn(call)
    """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n7\n", "")


# -------------------------------------------------------------------- subinterpreters


SUBINTERPRETER = """
from concurrent import interpreters
one = interpreters.create()
one.exec('''
import joinable, threading
with joinable.TaskGroup() as group:
    tasks = [group.spawn(pow, 2, n) for n in range(5)]
    together = threading.Barrier(3)
    joinable.run_all([together.wait] * 3)
print([task.result() for task in tasks], joinable.run_any([int]), flush=True)
try:
    with joinable.TaskGroup(timeout=0.01) as group:
        group.spawn(joinable.sleep, 1000)
except TimeoutError as error:
    print("late", flush=True)
''')
one.close()
print("closed")
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="no public module for subinterpreters")
def test_a_subinterpreter_without_daemon_threads_can_use_groups_and_ends() -> None:
    begun = time.monotonic()
    done = run(SUBINTERPRETER)
    expected = "[1, 2, 4, 8, 16] 0\nlate\nclosed\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")
    assert time.monotonic() - begun < 8  # its idle workers were sent home
