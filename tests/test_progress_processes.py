"""What only a whole process shows of `progress=`: Ctrl-C once and twice, exit, fork, processes."""

from __future__ import annotations

import os
import signal

import pytest

from processes import run, signalled

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

SHOWN = """
    import sys, threading, time, joinable
    class Shown:
        def __init__(self):
            self.told = []
        def start(self, total):
            self.told.append(total)
        def advance(self, n):
            self.told.append(n)
        def finish(self):
            self.told.append("finish")
    shown = Shown()
    """

STOPPED = """
    begun = threading.Barrier(3)
    def call(number=0):
        begun.wait()
        joinable.sleep(1000)
    def told():
        begun.wait()
        cue("running")
    threading.Thread(target=told).start()
    try:
        {run}
    except KeyboardInterrupt:
        print(shown.told[0], sum(shown.told[1:-1]), shown.told[-1])
    """

RUNS = pytest.mark.parametrize(
    "how",
    [
        "joinable.run_all([call, call], progress=shown)",
        "list(joinable.run_each(call, range(2), progress=shown))",
        "list(joinable.run_each(call, range(2), buffersize=None, progress=shown))",
    ],
    ids=["run_all", "run_each", "no bound"],
)


@RUNS
def test_ctrl_c_stops_what_runs_tells_that_and_finishes_it(how: str) -> None:
    code = STOPPED.format(run=how)
    done, out, err = signalled(code, signal.SIGINT, prepare=SHOWN)
    assert (done, out, err) == (0, "running\n2 2 finish\n", "")


STUCK = """
    begun, gate = threading.Barrier(3), threading.Event()
    def call(number=0):
        begun.wait()
        gate.wait()
    def told():
        begun.wait()
        cue("running")
    threading.Thread(target=told).start()
    from joinable._calls import Calls
    outlast = Calls.outlast
    def outlasting(self, *arguments):
        cue("leaving")
        return outlast(self, *arguments)
    Calls.outlast = outlasting
    try:
        {run}
    except KeyboardInterrupt:
        print(shown.told)
        gate.set()
        while any(t.name.startswith("run_") for t in threading.enumerate()):
            time.sleep(0.001)
        print(shown.told)
    """


@RUNS
def test_a_second_ctrl_c_finishes_it_at_once_and_nothing_is_told_after(how: str) -> None:
    code = STUCK.format(run=how)
    done, out, err = signalled(code, signal.SIGINT, signal.SIGINT, prepare=SHOWN)
    assert (done, err) == (0, "")
    assert out == "running\nleaving\n[2, 'finish']\n[2, 'finish']\n"


@pytest.mark.parametrize("held", ["results = ", "kept = [results := ", "print("])
def test_a_stream_that_is_open_at_the_exit_is_finished_once(held: str) -> None:
    closing = {"results = ": "", "kept = [results := ": "]", "print(": ")"}[held]
    # What nobody holds is stopped at once, perhaps before its first call.
    enough = 2 if held == "print(" else 3
    done = run(
        SHOWN
        + f"""
    shown.finish = lambda: print("finish")
    {held}joinable.run_each(joinable.sleep, [0, 1000], max_workers=2, progress=shown){closing}
    while sum(shown.told) < {enough}:
        time.sleep(0.001)
    """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("finish") == 1


@needs_fork
def test_the_child_of_a_fork_does_not_finish_what_is_its_parents() -> None:
    done = run(
        SHOWN
        + """
    import os, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    shown.finish = lambda: print("finish", os.getpid() == parent, flush=True)
    parent = os.getpid()
    results = joinable.run_each(abs, [1, 2], progress=shown)
    next(results)
    child = os.fork()
    if not child:
        del results
        sys.exit(0)
    os.waitpid(child, 0)
    list(results)
    """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "finish True\n", "")
