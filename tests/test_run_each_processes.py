"""What only a whole process shows of `run_each`: Ctrl-C, exit, fork."""

from __future__ import annotations

import os
import signal

import pytest

from processes import run, signalled

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
BUFFERS = pytest.mark.parametrize("buffersize", [0, 64, None])

SLEEPERS = """
    import time, joinable
    begun = threading.Barrier(4)
    def sleeper(number):
        begun.wait()
        try:
            joinable.sleep(1000)
        finally:
            sys.stdout.write("cleaned up\\n")  # in one piece, as `print` does not
    def told():
        begun.wait()
        cue("running")
    threading.Thread(target=told).start()
    def lanes():
        return [t.name for t in threading.enumerate() if t.name.startswith("run_each")]
    results = joinable.run_each(sleeper, range(3), max_workers=3, buffersize={buffersize})
    try:
        {block}
    except KeyboardInterrupt as error:
        print("interrupted", getattr(error, "__notes__", []), lanes())
    """


@BUFFERS
@pytest.mark.parametrize(
    "block",
    ["next(results)", "list(results)", "with results: joinable.sleep(1000)"],
    ids=["next", "list", "with"],
)
def test_ctrl_c_stops_what_runs_and_waits_for_it(block: str, buffersize: int | None) -> None:
    code = SLEEPERS.format(block=block, buffersize=buffersize)
    done, out, err = signalled(code, signal.SIGINT)
    assert (done, err) == (0, "")
    assert out == "running\n" + "cleaned up\n" * 3 + "interrupted [] []\n"


STUCK = """
    import time, joinable
    begun, gate = threading.Event(), threading.Event()
    def stuck(number):
        begun.set()
        gate.wait()
    def told():
        begun.wait()
        cue("running")
    threading.Thread(target=told).start()
    from joinable._flow import Flow
    leave, leavings = Flow._leave, []
    def leaving(self, why):
        leavings.append(why)
        if len(leavings) == {last}:  # the first one has come
            cue("leaving")
        leave(self, why)
    Flow._leave = leaving
    results = joinable.run_each(stuck, [1], buffersize={buffersize})
    {block}
    """


@BUFFERS
@pytest.mark.parametrize(
    ("block", "last"), [("next(results)", 1), ("begun.wait(); results.close()", 2)]
)
def test_ctrl_c_twice_leaves_what_is_stuck_and_names_it(
    block: str, last: int, buffersize: int | None
) -> None:
    code = STUCK.format(block=block, last=last, buffersize=buffersize)
    done, out, err = signalled(code, signal.SIGINT, signal.SIGINT)
    assert out == "running\nleaving\n"
    assert done in {1, 130, -signal.SIGINT}
    assert "KeyboardInterrupt" in err
    assert "run_each left these calls running: call 0 at " in err
    assert "in stuck" in err


@BUFFERS
@pytest.mark.parametrize("how", ["results", "next(results)"])
def test_the_end_of_the_program_does_not_wait_for_an_open_stream(
    how: str, buffersize: int | None
) -> None:
    done = run(
        f"""
        import itertools, threading, joinable
        begun = threading.Event()
        def call(number):
            if number:
                begun.set()
                threading.Event().wait()
            return number
        results = joinable.run_each(call, range(9), max_workers=2, buffersize={buffersize})
        {how}
        begun.wait()
        print("end")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_an_error_that_nobody_came_to_is_reported_at_the_end_of_the_program() -> None:
    done = run(
        """
        import threading, joinable
        failed = threading.Event()
        def call(number):
            try:
                return 1 // number
            finally:
                failed.set()
        results = joinable.run_each(call, [0])
        failed.wait()
        while any(t.name.startswith("run_each") for t in threading.enumerate()):
            joinable.sleep(0.001)
        """
    )
    assert done.returncode == 0
    assert done.stderr.count("ZeroDivisionError") == 1


@needs_fork
@BUFFERS
def test_the_child_of_a_fork_is_told_that_the_stream_is_not_its_own(
    buffersize: int | None,
) -> None:
    done = run(
        f"""
        import os, sys, threading, warnings, joinable
        warnings.simplefilter("ignore", DeprecationWarning)
        gate, begun = threading.Event(), threading.Event()
        def call(number):
            begun.set()
            gate.wait()
            return number
        results = joinable.run_each(call, [7], buffersize={buffersize})
        begun.wait()
        child = os.fork()
        if not child:
            try:
                next(results)
            except RuntimeError as error:
                sys.stdout.write(f"{{error}}\\n")
            results.close()
            assert list(joinable.run_each(abs, [-1], buffersize={buffersize})) == [1]
            del results
            sys.exit(3)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        gate.set()
        print(code, list(results))
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "this run_each is of the process that forked this one",
        "3 [7]",
    ]
