"""What only a whole process shows: imports, Ctrl-C, exit, fork."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from processes import run, signalled

# -------------------------------------------------------------------- import


def test_importing_starts_changes_and_imports_nothing_it_should_not() -> None:
    done = run(
        """
        import _thread, atexit, signal, sys, threading
        handlers = [signal.getsignal(s) for s in signal.valid_signals()]
        hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
        start, lock, run = _thread.start_new_thread, threading.Lock, threading.Thread.run
        callbacks = atexit._ncallbacks()
        import concurrent.futures.thread
        with_futures = atexit._ncallbacks()
        import joinable
        assert threading.enumerate() == [threading.main_thread()]
        assert handlers == [signal.getsignal(s) for s in signal.valid_signals()]
        assert hooks == (sys.excepthook, threading.excepthook, sys.unraisablehook)
        assert (start, lock) == (_thread.start_new_thread, threading.Lock)
        assert run is threading.Thread.run
        assert atexit._ncallbacks() == with_futures
        heavy = "asyncio typing_extensions tqdm rich dask pytest hypothesis multiprocessing"
        print([name for name in heavy.split() if name in sys.modules])
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_importing_imports_nothing_but_ourselves_and_what_futures_import() -> None:
    names = "; print(*(name for name in sys.modules if not name.startswith('joinable')))"
    ours = set(run("import sys, joinable" + names).stdout.split())
    allowed = "concurrent.futures.thread, contextvars, heapq, math, __future__"
    theirs = set(run(f"import sys, {allowed}{names}").stdout.split())
    assert ours <= theirs


def test_it_may_take_the_place_of_the_standard_class() -> None:
    done = run(
        """
        import threading, joinable
        threading.Thread = joinable.Thread
        timer = threading.Timer(0, print, ["timer"])  # made of the standard class, before
        timer.start()
        timer.join()
        thread = threading.Thread(target=int, args=("x",))
        thread.start()
        thread.join()
        print(joinable.run_all([int, str]), repr(thread.exception()))
        """
    )
    assert done.stdout.startswith("timer\n[0, ''] ValueError(")
    assert (done.returncode, done.stderr) == (0, "")


# -------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize(
    "wait",
    ["thread.result()", "thread.exception()", "thread.join()", "thread.result(timeout=1000)"],
)
def test_ctrl_c_interrupts_a_wait(wait: str) -> None:
    code, out, err = signalled(
        f"""
        import threading, joinable
        gate = threading.Event()
        thread = joinable.Thread(target=gate.wait)
        thread.start()
        try:
            cue("waiting")
            {wait}
        except KeyboardInterrupt:
            print("interrupted", thread.running())
        gate.set()  # a daemon that does not end would hold the exit for a second
        """,
        signal.SIGINT,
    )
    assert (code, out, err) == (0, "waiting\ninterrupted True\n", "")


RUN_ALL = """
    import joinable
    gate, calls = threading.Event(), []
    def call():
        calls.append(1)
        gate.wait()
        print("ended", flush=True)
    leave = joinable._batch.Batch._leave
    def leaving(batch, error):  # the first interrupt has come
        {after}
        leave(batch, error)
    joinable._batch.Batch._leave = leaving
    try:
        cue("running")
        joinable.run_all([call] * 3, max_workers=1)
    except KeyboardInterrupt as error:
        print("interrupted", len(calls), *getattr(error, "__notes__", []))
    """


def test_ctrl_c_in_run_all_starts_nothing_more_and_joins_what_runs() -> None:
    code, out, err = signalled(RUN_ALL.format(after="gate.set()"), signal.SIGINT)
    assert (code, out, err) == (0, "running\nended\ninterrupted 1\n", "")


def test_a_second_ctrl_c_in_run_all_leaves_at_once_and_names_what_runs() -> None:
    code, out, err = signalled(RUN_ALL.format(after="cue('again')"), signal.SIGINT, signal.SIGINT)
    assert code == 0, err
    expected = "running\nagain\ninterrupted 1 run_all left these calls running: call 0 at "
    assert out.startswith(expected)
    assert "in call" in out
    assert "ended" not in out


def test_an_error_of_a_call_that_was_left_is_reported() -> None:
    code = RUN_ALL.format(after="cue('again')").replace('print("ended", flush=True)', "int('x')")
    # Its thread ends when it has nothing more to do: it rests for ten seconds otherwise.
    code += """
    joinable._workers.IDLE = 0
    gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("run_all"):
            thread.join()
"""
    returned, out, err = signalled(code, signal.SIGINT, signal.SIGINT)
    assert returned == 0
    assert "interrupted 1" in out
    assert err.count("ValueError: invalid literal") == 1
    assert "Exception in thread run_all-1" in err


# -------------------------------------------------------------------- exit


def test_an_error_nobody_asked_for_is_on_stderr_once_at_exit() -> None:
    done = run(
        """
        import joinable, threading
        def failing(): raise ValueError("unasked")
        thread = joinable.Thread(target=failing, name="forgotten")
        thread.start()
        thread.join()
        """
    )
    assert done.returncode == 0
    assert done.stderr.count("ValueError: unasked") == 1
    assert "Exception in thread forgotten" in done.stderr
    assert "in thread 'forgotten', started at <string>:5" in done.stderr
    assert "_thread.py" not in done.stderr


def test_an_error_that_was_asked_for_is_not_on_stderr_at_exit() -> None:
    done = run(
        """
        import joinable
        thread = joinable.spawn(int, "x")
        thread.join()
        try:
            thread.result()
        except ValueError:
            print("asked")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "asked\n", "")


def test_a_non_daemon_thread_is_finished_at_exit_and_its_late_error_reported() -> None:
    done = run(
        """
        import joinable, threading
        def last():
            threading.main_thread().join()
            print("last words", flush=True)
            raise ValueError("late")
        joinable.spawn(last)
        """
    )
    assert done.stdout == "last words\n"
    assert done.stderr.count("ValueError: late") == 1


def test_a_hook_that_hangs_does_not_hang_the_exit() -> None:
    done = run(
        """
        import joinable, threading
        hooked = threading.Event()
        def hang(arguments):
            hooked.set()
            threading.Event().wait()
        threading.excepthook = hang
        class Quick(joinable.Thread):
            report_after = 0.001
        thread = Quick(target=int, args=("x",))
        thread.start()
        hooked.wait()
        print("leaving")
        """
    )
    assert (done.returncode, done.stdout) == (0, "leaving\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_after_a_fork_the_child_can_use_the_library_and_reports_its_own_errors_only() -> None:
    done = run(
        """
        import os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import joinable
        def failing(whose): raise ValueError(whose)
        thread = joinable.spawn(failing, "the parent's")
        thread.join()
        child = os.fork()
        if not child:
            assert joinable.run_all([int, str]) == [0, ""]
            joinable.spawn(failing, "the child's").join()
            sys.exit(3)
        status = os.waitpid(child, 0)[1]
        print(os.waitstatus_to_exitcode(status))
        """
    )
    assert done.stdout == "3\n"
    assert done.stderr.count("ValueError: the parent's") == 1
    assert done.stderr.count("ValueError: the child's") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_after_a_fork_a_wait_for_a_thread_of_the_parent_raises() -> None:
    done = run(
        """
        import os, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import joinable
        gate = threading.Event()
        thread = joinable.Thread(target=gate.wait, name="parental")
        thread.start()
        child = os.fork()
        if not child:
            try:
                thread.result()
            except RuntimeError as error:
                print(error, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        gate.set()
        """
    )
    expected = "'parental' runs in the process that forked this one, not here\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_after_a_fork_a_task_of_the_parent_that_is_collected_takes_no_report_of_the_child() -> None:
    done = run(
        """
        import gc, os, sys, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import joinable
        def failing(whose): raise ValueError(whose)
        parents = joinable.spawn(failing, "the parent's")
        parents.join()
        child = os.fork()
        if not child:
            own = joinable.spawn(failing, "the child's")
            own.join()
            del parents
            gc.collect()
            sys.exit()
        os.waitpid(child, 0)
        """
    )
    assert done.stderr.count("ValueError: the parent's") == 1
    assert done.stderr.count("ValueError: the child's") == 1


@pytest.mark.skipif(sys.version_info < (3, 13), reason="such a child runs no atexit hook before")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_of_multiprocessing_reports_at_its_exit() -> None:
    done = run(
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import joinable
        def failing(whose): raise ValueError(whose)
        def child():
            joinable.spawn(failing, "the child's").join()
        parents = joinable.spawn(failing, "the parent's")
        parents.join()
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        """
    )
    assert done.stderr.count("ValueError: the parent's") == 1
    assert done.stderr.count("ValueError: the child's") == 1


@pytest.mark.skipif(sys.version_info < (3, 14), reason="no public module for subinterpreters")
def test_a_subinterpreter_without_daemon_threads_can_use_the_library() -> None:
    done = run(
        """
        from concurrent import interpreters
        interpreters.create().exec('''
        import joinable, threading
        def failing(): raise ValueError("unasked")
        assert joinable.run_all([int, str]) == [0, ""]
        reports = []
        threading.excepthook = reports.append
        joinable.spawn(failing).join()
        print([report.exc_type.__name__ for report in reports], flush=True)
        ''')
        """.replace("\n        ", "\n")
    )
    assert (done.stdout, done.stderr) == ("['ValueError']\n", "")


def test_the_exit_is_not_held_by_the_reporting_thread() -> None:
    begun = time.monotonic()
    done = run(
        """
        import joinable
        thread = joinable.spawn(int, "x")
        thread.join()
        thread.exception()
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - begun < joinable_report_after()


def joinable_report_after() -> float:
    from joinable import Thread  # noqa: PLC0415  the process above is what is tested

    assert Thread.report_after is not None
    return Thread.report_after
