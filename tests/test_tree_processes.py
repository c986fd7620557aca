"""What only a whole process shows of the tree: a signal to one that hangs, a fork, the exit."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest

import programs
from processes import LIMIT, run

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
needs_user_signals = pytest.mark.skipif(
    not hasattr(signal, "SIGUSR1"), reason="the system has no signal that is there for programs"
)

HANGING = """
    import io, signal, socket, sys
    import joinable
    from joinable import TaskGroup

    near, far = socket.socketpair()

    def fetch():
        return near.recv(10)  # nobody answers

    def pages():
        with TaskGroup(name="pages") as group:
            group.spawn(fetch)

    def sites():
        with TaskGroup(name="sites") as group:
            group.spawn(pages)

    def main():
        joinable.dump_tree_on_signal(signal.SIGUSR1)
        with TaskGroup(name="crawl") as group:
            group.spawn(sites)
            while not hangs():
                joinable.sleep(0.01)
            print("ready", flush=True)

    def hangs():
        file = io.StringIO()
        joinable.dump_tree(file)
        return sys.argv[1] in file.getvalue()

    main()
"""


@needs_user_signals
def test_a_signal_to_a_program_that_hangs_names_the_read_in_the_third_of_its_groups() -> None:
    code = textwrap.dedent(HANGING)
    stuck = 1 + code.splitlines().index("    return near.recv(10)  # nobody answers")
    with subprocess.Popen(  # noqa: S603  the test's own code
        [sys.executable, "-u", "-c", code, f":{stuck} in fetch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        programs.send(process, signal.SIGUSR1)
        lines: list[str] = []
        # The last of what the picture must have; without it this reads until the process is killed.
        while not lines or f":{stuck} in fetch" not in lines[-1]:
            lines.append(process.stderr.readline())
            assert lines[-1], "".join(lines)
        process.kill()
    picture = "".join(lines)
    groups = re.findall(r"^(.*)group '(\w+)'", picture, re.MULTILINE)
    assert [name for _, name in groups] == ["crawl", "sites", "pages"]
    depths = [len(indent) for indent, _ in groups]
    assert depths == sorted(set(depths))
    assert "task 'pages-1 (fetch)': running" in lines[-2]


@needs_fork
def test_the_child_of_a_fork_draws_what_is_there_and_nothing_of_its_parents() -> None:
    done = run(
        """
        import os, sys, warnings
        from joinable import CancelScope, TaskGroup, ThreadPool, dump_tree, sleep, spawn
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads
        pool = ThreadPool(1, name="pool")
        task = pool.submit(sleep, 60)
        with TaskGroup(name="of the parent") as group, CancelScope():
            group.spawn(sleep, 60)
            child = os.fork()
            if child == 0:
                dump_tree(sys.stdout)
                sys.stdout.flush()
                os._exit(0)
            os.waitpid(child, 0)
            group.cancel()
        task.cancel()
        pool.shutdown()
        """
    )
    assert done.returncode == 0, done.stderr
    assert "main thread" in done.stdout
    assert "of the parent" not in done.stdout
    assert "scope, " not in done.stdout
    assert "pool 'pool': open, 0 running, 0 waiting" in done.stdout


def test_it_can_be_drawn_at_the_very_end_of_a_program() -> None:
    done = run(
        """
        import atexit, sys
        from joinable import dump_tree, run_all
        run_all([int, int])
        class Late:
            def __del__(self):
                dump_tree(sys.stdout)
        late = Late()
        atexit.register(dump_tree, sys.stdout)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("What runs in process") >= 1


def test_importing_the_package_loads_nothing_of_it() -> None:
    done = run(
        """
        import sys, joinable, joinable.sync
        new = {"joinable._tree", "joinable._growth", "joinable._statistics"}
        print(sorted(new & set(sys.modules)))
        print(joinable.dump_tree.__name__, joinable.sync.LockStatistics.__name__)
        """
    )
    assert done.stdout == "[]\ndump_tree LockStatistics\n", done.stderr


@needs_user_signals
def test_a_main_thread_that_waits_for_a_lock_draws_the_tree() -> None:
    done = run(
        f"""
        import os, signal, sys, threading
        import joinable
        lock = threading.Lock()
        lock.acquire()
        signal.signal(signal.SIGUSR1, lambda *_: lock.release())
        joinable.dump_tree_on_signal(signal.SIGUSR1, file=sys.stdout)
        def press():
            os.kill(os.getpid(), signal.SIGUSR1)
        timer = threading.Timer(0.3, press)
        timer.start()
        print(lock.acquire(timeout={LIMIT} / 2))
        timer.join()
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("True\n")
    assert re.search(r"main thread\n +at <string>:\d+ in <module>", done.stdout), done.stdout
