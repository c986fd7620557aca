"""The bars of others: in a terminal, in memory, of a class that was chosen, and not there at all."""

from __future__ import annotations

import importlib
import io
import os
import re
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import pytest
import rich.progress
from rich.console import Console

from joinable import run_all, run_each, sleep
from joinable.progress import Progress, RichProgress, TqdmProgress
from joinable.testing import no_leaks
from processes import LIMIT, run

if TYPE_CHECKING:
    from collections.abc import Iterator

# Its types are a package of their own.
tqdm: Any = importlib.import_module("tqdm")

pty = pytest.importorskip("pty", reason="the system has no pseudo-terminals")
termios = pytest.importorskip("termios", reason="the system has no terminals")


def in_a_terminal(code: str, columns: int = 80) -> tuple[int, list[str]]:
    """Run `code` in a pseudo-terminal; return how it ended, and what the screen shows at the end."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "TERM": "xterm", "PYTHONUTF8": "1"}
    environment.pop("COLUMNS", None)  # it would count for more than the terminal
    with subprocess.Popen(  # noqa: S603  the test's own code
        command, stdin=slave, stdout=slave, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        written = b""
        while True:
            try:
                read = os.read(master, 4096)
            except OSError:  # as Linux says that nobody has the other end any more
                break
            if not read:
                break
            written += read
        process.wait(LIMIT)
    os.close(master)
    return process.returncode, screen(written.decode())


def screen(written: str) -> list[str]:
    """Return the lines that a terminal shows: where it comes to a place again, the last counts."""
    lines, row, column = [""], 0, 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", written):
        if piece == "\r":
            column = 0
        elif piece == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif piece == "\x1b[A":
            row -= 1
        elif not piece.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + piece + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines if line.rstrip()]


STEPS = """
    import sys, joinable
    def step(number):
        joinable.sleep(0.02)
        return number
    """


class TestATerminal:
    def test_a_bar_is_full_at_the_end(self) -> None:
        code = (
            STEPS
            + """
    got = sum(joinable.run_each(step, range(30), max_workers=4, progress="steps"))
    print(got)
    """
        )
        done, lines = in_a_terminal(code)
        assert done == 0
        bar, printed = lines
        assert bar.startswith("steps: 100%|")
        assert " 30/30 [" in bar
        assert len(bar) <= 80
        assert printed == "435"

    def test_a_bar_of_run_all_has_no_label_unless_it_is_given_one(self) -> None:
        code = (
            STEPS
            + """
    joinable.run_all([lambda: step(1)] * 5, progress=True)
    """
        )
        done, (bar,) = in_a_terminal(code)
        assert done == 0
        assert bar.startswith("100%|")
        assert " 5/5 [" in bar

    def test_where_nobody_knows_how_many_there_are_it_counts(self) -> None:
        code = (
            STEPS
            + """
    list(joinable.run_each(step, iter(range(7)), progress="steps"))
    """
        )
        done, (bar,) = in_a_terminal(code)
        assert done == 0
        assert bar.startswith("steps: 7it [")

    def test_an_error_comes_in_a_line_of_its_own(self) -> None:
        code = (
            STEPS
            + """
    def fail(number):
        step(number)
        return 1 // (3 - number)
    list(joinable.run_each(fail, range(10), max_workers=1, progress="steps"))
    """
        )
        done, lines = in_a_terminal(code)
        assert done == 1
        assert " 4/10 [" in lines[0]
        assert lines[1] == "Traceback (most recent call last):"
        assert "ZeroDivisionError" in lines[-2]

    def test_a_stream_that_is_open_at_the_end_of_the_program_is_finished(self) -> None:
        code = (
            STEPS
            + """
    import threading
    results = joinable.run_each(step, iter(int, 1), max_workers=2, progress="steps")
    print(next(results), file=sys.stderr)
    """
        )
        done, lines = in_a_terminal(code)
        assert done == 0
        assert "it [" in lines[-1]
        assert not [line for line in lines if "Exception" in line]


class TestTqdm:
    def test_a_class_can_be_chosen_and_be_given_options(self) -> None:
        file = io.StringIO()

        class Bar(tqdm.tqdm):  # type: ignore[misc]
            """One of the caller's."""

        made = TqdmProgress(Bar, label="pages", unit="page", file=file, mininterval=0)
        assert run_all([int] * 3, progress=made) == [0, 0, 0]
        assert list(run_each(abs, [1], progress=made)) == [1]
        shown = screen(file.getvalue())
        assert [re.sub(r"\[.*", "", line) for line in shown] == [
            "pages: 100%|##########| 3/3 ",
            "pages: 100%|##########| 1/1 ",
        ]
        assert "page/s]" in shown[0] or "?page" in shown[0]

    def test_what_has_a_label_and_nothing_else_is_the_same_as_true(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        list(run_each(abs, [1, 2], progress="numbers"))
        list(run_each(abs, [1, 2], progress=TqdmProgress(label="numbers")))
        first, second = screen(capsys.readouterr().err)
        assert first.startswith("numbers: 100%|")
        assert second.startswith("numbers: 100%|")

    def test_its_monitor_is_no_leak(self) -> None:
        with no_leaks():
            run_all([int], progress=TqdmProgress(file=io.StringIO()))

    def test_no_bar_is_left_open(self) -> None:
        bars: set[object] = set(getattr(tqdm.tqdm, "_instances", ()))
        bar = TqdmProgress(tqdm.tqdm, file=io.StringIO())
        with pytest.raises(ZeroDivisionError):
            run_all([lambda: 1 // 0], progress=bar)
        with run_each(sleep, [0, 1000], max_workers=2, progress=bar) as results:
            next(results)
        assert set(getattr(tqdm.tqdm, "_instances", ())) == bars

    def test_many_calls_are_counted_in_it(self) -> None:
        closed: list[int] = []

        class Bar(tqdm.tqdm):  # type: ignore[misc]
            """Keeps how far it came."""

            def close(self) -> None:
                if not self.disable:
                    closed.append(self.n)
                super().close()

        bar = TqdmProgress(Bar, file=io.StringIO())
        list(run_each(abs, range(20_000), max_workers=8, buffersize=None, progress=bar))
        assert closed == [20_000]

    def test_a_kind_that_is_none_is_refused(self) -> None:
        with pytest.raises(TypeError, match="kind must be a class of tqdm's, not 3"):
            TqdmProgress(3)  # type: ignore[arg-type]

    @pytest.mark.parametrize("made", [False, True])
    def test_what_belongs_in_an_adapter_is_told_so(self, made: bool) -> None:
        bar = tqdm.tqdm(total=1, file=io.StringIO()) if made else tqdm.tqdm
        try:
            with pytest.raises(TypeError, match=r"write joinable.progress.TqdmProgress\(tqdm\)"):
                run_all([int], progress=bar)
        finally:
            if made:
                bar.close()

    @pytest.mark.parametrize("progress", ["True", "'label'", "joinable.progress.TqdmProgress()"])
    def test_where_it_is_not_installed_the_call_says_what_to_install(self, progress: str) -> None:
        done = run(
            f"""
            import sys
            sys.modules["tqdm"] = sys.modules["tqdm.auto"] = None
            import joinable, joinable.progress
            began = []
            for call in (
                lambda progress: joinable.run_all([lambda: began.append(1)], progress=progress),
                lambda progress: joinable.run_each(began.append, [1], progress=progress),
            ):
                try:
                    call({progress})
                except ImportError as error:
                    print(error)
            print(began, joinable.run_all([int], progress=None))
            """
        )
        assert done.stderr == ""
        first, second, rest = done.stdout.splitlines()
        assert first == second
        assert "pip install 'joinable[progress]'" in first
        assert rest == "[] [0]"


@pytest.fixture
def progress() -> Iterator[rich.progress.Progress]:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with rich.progress.Progress(console=console) as progress:
        yield progress


class TestRich:
    def test_each_run_is_a_task_of_it(self, progress: rich.progress.Progress) -> None:
        bar = RichProgress(progress, label="pages")
        assert list(run_each(abs, range(500), max_workers=8, progress=bar)) == [*range(500)]
        assert run_all([int] * 3, progress=bar) == [0, 0, 0]
        tasks = [(task.description, task.completed, task.total) for task in progress.tasks]
        assert tasks == [("pages", 500, 500), ("pages", 3, 3)]
        assert progress.finished

    def test_two_runs_at_a_time_show_in_it(self, progress: rich.progress.Progress) -> None:
        both = [
            run_each(abs, range(200), max_workers=2, progress=RichProgress(progress))
            for _ in range(2)
        ]
        assert sum(map(sum, both)) == 2 * sum(range(200))
        assert [task.completed for task in progress.tasks] == [200, 200]

    def test_where_nobody_knew_how_many_it_is_full_at_the_end(
        self, progress: rich.progress.Progress
    ) -> None:
        list(run_each(abs, iter([1, 2, 3]), progress=RichProgress(progress)))
        (task,) = progress.tasks
        assert (task.completed, task.total, task.finished) == (3, 3, True)

    def test_one_that_ends_early_stays_as_far_as_it_came(
        self, progress: rich.progress.Progress
    ) -> None:
        with pytest.raises(ZeroDivisionError):
            run_all(
                [lambda: 1 // 0, int, int],
                max_workers=1,
                progress=RichProgress(progress, label="a"),
            )
        (task,) = progress.tasks
        assert (task.completed, task.total) == (1, 3)
        assert task.stop_time is not None

    def test_one_that_is_no_progress_is_refused(self) -> None:
        for wrong in (rich.progress.Progress, None, 3):
            with pytest.raises(TypeError, match=r"progress must be a rich.progress.Progress"):
                RichProgress(wrong)  # type: ignore[arg-type]

    def test_what_belongs_in_an_adapter_is_told_so(self, progress: rich.progress.Progress) -> None:
        with pytest.raises(TypeError, match=r"write joinable.progress.RichProgress\(progress\)"):
            run_all([int], progress=progress)  # type: ignore[call-overload]

    def test_rich_is_not_imported(self) -> None:
        done = run(
            """
            import sys
            import joinable.progress
            print(sorted({"rich", "tqdm"} & {*sys.modules}))
            """
        )
        assert (done.stdout, done.stderr) == ("[]\n", "")


def test_what_a_class_of_the_protocol_needs_is_there() -> None:
    class Silent(Progress):
        def start(self, total: int | None, /) -> None:
            assert total == 1

        def advance(self, n: int, /) -> None:
            assert n == 1

        def finish(self) -> None:
            assert threading.current_thread() is threading.main_thread()

    assert run_all([int], progress=Silent()) == [0]


def test_nothing_of_it_is_loaded_before_it_is_asked_for() -> None:
    done = run(
        """
        import sys, joinable
        joinable.run_all([int])
        list(joinable.run_each(abs, [1]))
        names = "_progress", "_meter", "_bars", "progress"
        print([name for name in names if f"joinable.{name}" in sys.modules])
        """
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
