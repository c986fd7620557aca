"""What a process does with a pool: Ctrl-C, the exit, a fork, each in a process of its own."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from processes import run, signalled

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def outcome(code: str) -> tuple[int, list[str], str]:
    done = run(code)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_ctrl_c_in_the_block_cancels_the_queue_stops_what_runs_and_is_raised() -> None:
    code, out, err = signalled(
        """
        from joinable import Cancelled, ThreadPool, sleep
        def call():
            try:
                sleep(1000)
            except Cancelled:
                print("told to stop", flush=True)
                raise
        try:
            with ThreadPool(1) as pool:
                tasks = [pool.submit(call) for _ in range(10_000)]
                cue("ready")
                tasks[-1].result()
        except KeyboardInterrupt:
            print("interrupted;", all(task.cancelled() for task in tasks))
        """,
        signal.SIGINT,
    )
    assert (code, out.splitlines()) == (0, ["ready", "told to stop", "interrupted; True"]), err


def test_ctrl_c_while_the_block_waits_for_its_end() -> None:
    code, out, err = signalled(
        """
        from joinable import ThreadPool, sleep
        try:
            with ThreadPool(2) as pool:
                tasks = [pool.submit(sleep, 1000) for _ in range(1000)]
                cue("ready")
        except KeyboardInterrupt:
            print("interrupted;", all(task.cancelled() for task in tasks))
        """,
        signal.SIGINT,
    )
    assert (code, out.splitlines()) == (0, ["ready", "interrupted; True"]), err


def test_a_second_ctrl_c_leaves_at_once_and_names_what_runs() -> None:
    code, out, err = signalled(
        """
        import threading
        from joinable import ThreadPool, abandoned_threads
        gate = threading.Event()
        pool = ThreadPool(1, name="stubborn")
        def wait():
            with pool:
                pool.submit(gate.wait)
                try:
                    cue("ready")
                    threading.Event().wait()
                finally:
                    cue("again")
        try:
            wait()
        except KeyboardInterrupt as interrupt:
            print(*interrupt.__notes__, len(abandoned_threads()))
        """,
        signal.SIGINT,
        signal.SIGINT,
    )
    assert code == 0, err
    assert out.splitlines()[:2] == ["ready", "again"]
    note = out.splitlines()[2]
    assert note.startswith("'stubborn' left these calls running: stubborn-1 (wait) at "), note
    assert note.endswith(" 1")


def test_the_exit_finishes_what_was_accepted() -> None:
    assert outcome(
        """
        import threading
        from joinable import ThreadPool
        pool = ThreadPool(1)
        gate = threading.Event()
        pool.submit(gate.wait, 0.05)
        for number in range(3):
            pool.submit(print, number)
        print("end")
        """
    ) == (0, ["end", "0", "1", "2"], "")


def test_the_exit_finishes_what_a_dropped_pool_was_given() -> None:
    assert outcome(
        """
        import threading
        from joinable import ThreadPool
        ThreadPool(1).submit(threading.Event().wait, 0.05).add_done_callback(
            lambda task: print(task.result())
        )
        """
    ) == (0, ["False"], "")


def test_nothing_more_is_taken_at_the_exit() -> None:
    code, out, err = outcome(
        """
        import time
        from joinable import ThreadPool
        pool = ThreadPool(1)
        def late():
            while "open" in repr(pool):
                time.sleep(0.001)
            try:
                pool.submit(print, "never")
            except RuntimeError as refused:
                print(refused)
        pool.submit(late)
        """
    )
    assert (code, err) == (0, "")
    assert out == ["cannot schedule new futures after interpreter shutdown: 'ThreadPool-1'"]


def test_ctrl_c_at_the_exit_cancels_what_is_left() -> None:
    code, out, err = signalled(
        """
        from joinable import ThreadPool, sleep
        pool = ThreadPool(1)
        tasks = [pool.submit(sleep, 1000) for _ in range(100)]
        for task in tasks:
            task.add_done_callback(lambda task: task.cancelled() or print("not cancelled"))
        cue("ready")
        """,
        signal.SIGINT,
    )
    assert out.splitlines() == ["ready"]
    assert "KeyboardInterrupt" in err
    assert code in (0, -signal.SIGINT, 130, 1)


def test_an_error_that_nobody_asked_for_is_reported_at_the_exit() -> None:
    code, out, err = outcome(
        """
        from joinable import ThreadPool
        def failing():
            raise ValueError("unasked")
        pool = ThreadPool(1)
        task = pool.submit(failing)
        """
    )
    assert (code, out) == (0, [])
    assert err.count("ValueError: unasked") == 1
    assert "in task 'ThreadPool-1-1 (failing)', submitted at " in err


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_pool_is_new_in_the_child_of_a_fork() -> None:
    code, out, err = outcome(
        """
        import os, threading, warnings
        from joinable import ThreadPool
        warnings.simplefilter("ignore")
        gate = threading.Event()
        with ThreadPool(1) as pool:
            done = pool.submit(int, "5")
            done.result()
            running, waiting = pool.submit(gate.wait), pool.submit(int)
            child = os.fork()
            if child == 0:
                print(pool.submit(int, "6").result(10), done.result(), flush=True)
                for task in (running, waiting):
                    try:
                        task.result(10)
                    except RuntimeError as error:
                        print(error, flush=True)
                print(waiting.cancel(), pool, flush=True)
                pool.shutdown()
                os._exit(0)
            print(os.waitpid(child, 0)[1], flush=True)
            gate.set()
        print(running.result(), waiting.result())
        """
    )
    assert (code, err) == (0, "")
    assert out == [
        "6 5",
        "'ThreadPool-1-2 (wait)' runs in the process that forked this one, not here",
        "'ThreadPool-1-3 (int)' runs in the process that forked this one, not here",
        "False <ThreadPool ThreadPool-1: open; 0 running, 0 waiting>",
        "0",
        "True 0",
    ]


@needs_fork
def test_a_pool_works_in_a_process_of_multiprocessing() -> None:
    assert outcome(
        """
        import multiprocessing, warnings
        from joinable import ThreadPool
        warnings.simplefilter("ignore")
        pool = ThreadPool(2)
        pool.submit(int).result()
        def child():
            print([*pool.map(str, range(3))], flush=True)
            pool.submit(print, "at the end", flush=True)
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        print(process.exitcode)
        """
    ) == (0, ["['0', '1', '2']", "at the end", "0"], "")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="it has no concurrent.interpreters")
def test_a_subinterpreter_ends_with_its_pool() -> None:
    code, out, err = outcome(
        """
        from concurrent import interpreters
        interpreter = interpreters.create()
        interpreter.exec('''if True:
            from joinable import ThreadPool
            pool = ThreadPool(2)
            print(*pool.map(str, range(3)), flush=True)
            pool.submit(print, "at the end", flush=True)
        ''')
        interpreter.close()
        print("closed")
        """
    )
    assert (code, out, err) == (0, ["0 1 2", "at the end", "closed"], "")


def test_importing_the_library_does_not_import_the_pool() -> None:
    assert outcome(
        """
        import sys, threading
        import joinable
        print("joinable._pool" in sys.modules, threading.active_count())
        joinable.ThreadPool
        print("joinable._pool" in sys.modules, "ThreadPool" in dir(joinable))
        """
    ) == (0, ["False 1", "True True"], "")
