"""The plugin, from outside: each test writes a small suite and runs pytest on it in a process."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import threading

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from joinable.testing import ScheduleError, check_linearizable, explore

RACE = """
import threading
import pytest

class Counter:
    def __init__(self):
        self.value = 0
    def add(self):
        self.value += 1

def race(count=2):
    counter = Counter()
    threads = [threading.Thread(target=counter.add) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value == count
"""

# In a process each: the exploration takes the place of parts of `threading`.
Pytester = pytest.Pytester
OTHERS = ("hypothesispytest", "xdist", "xdist.looponfail")
pytest_plugins = ["pytester"]


@pytest.fixture
def run(pytester: Pytester) -> Runner:
    return Runner(pytester)


class Runner:
    def __init__(self, pytester: Pytester) -> None:
        self._pytester = pytester
        self.company: tuple[str, ...] = ()

    def __call__(self, source: str, *options: str) -> pytest.RunResult:
        (self._pytester.path / "test_it.py").write_text(RACE + source)
        return self.again(*options)

    def again(self, *options: str) -> pytest.RunResult:
        # The plugins of others take longer to load than a test takes: only where they are in play.
        absent = [f"-pno:{name}" for name in ("cacheprovider", *OTHERS) if name not in self.company]
        return self._pytester.runpytest_subprocess(*absent, *options, timeout=100)


RACY = """
@pytest.mark.explore(watch=[Counter], runs=200)
def test_race():
    race()
"""


class TestMark:
    def test_a_race_fails_with_its_schedule_and_the_command_that_replays_it(
        self, run: Runner
    ) -> None:
        result = run(RACY)
        result.assert_outcomes(failed=1)
        text = result.stdout.str()
        assert "assert 1 == 2" in text
        command = re.search(r"pytest test_it.py::test_race '--explore-replay=([\d@>,]+)'", text)
        assert command is not None
        result.stdout.re_match_lines([r"-+ explored schedule -+", re.escape(command[1])])
        assert "_session.py" not in text  # no frames of the engine

        again = run.again("test_it.py::test_race", f"--explore-replay={command[1]}")
        again.assert_outcomes(failed=1)
        again.stdout.fnmatch_lines(["*fails in this replay*"])

    def test_a_mended_test_passes_and_says_that_the_schedule_no_longer_fits(
        self, run: Runner
    ) -> None:
        result = run(RACY.replace("    race()", "    pass"), "--explore-replay=5@9>7")
        result.assert_outcomes(passed=1, warnings=1)
        result.stdout.fnmatch_lines(["*the schedule no longer fits the test*"])

    def test_a_passing_test_tells_how_many_schedules_it_saw(self, run: Runner) -> None:
        result = run(RACY.replace("watch=[Counter], ", ""), "-rP")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["*explored call*", "200 schedules of up to 3 threads*"])

    def test_an_unmarked_test_runs_once(self, run: Runner) -> None:
        result = run("seen = []\ndef test_once():\n    seen.append(1)\n    assert seen == [1]\n")
        result.assert_outcomes(passed=1)
        assert "explored" not in result.stdout.str()

    def test_fixtures_are_made_once_and_handed_to_every_run(self, run: Runner) -> None:
        result = run(
            """
made, runs = [], []

@pytest.fixture
def thing():
    made.append(1)
    yield "thing"
    assert (made, len(runs)) == ([1], 31)  # one run uncounted, to warm up

@pytest.mark.explore(runs=30)
def test_it(thing, tmp_path):
    runs.append(1)
    assert (thing, tmp_path.is_dir()) == ("thing", True)
"""
        )
        result.assert_outcomes(passed=1)

    def test_the_keywords_of_nearer_marks_win(self, run: Runner) -> None:
        result = run(
            """
pytestmark = pytest.mark.explore(watch=[Counter], runs=300)

@pytest.mark.explore(strategy="random", seed=3)
class TestIt:
    @pytest.mark.explore(strategy="dfs", runs=5, preemptions=0)
    @pytest.mark.parametrize("count", [1, 2])
    def test_few(self, count):
        race(count)

    def test_many(self):
        race()
""",
            "-rP",
        )
        result.assert_outcomes(passed=2, failed=1)
        result.stdout.fnmatch_lines(["*1 schedules of up to 2 threads*(dfs, 0 preemptions): all*"])

    def test_the_command_names_a_parametrized_test_so_that_a_shell_understands(
        self, run: Runner
    ) -> None:
        result = run(
            """
@pytest.mark.explore(watch=[Counter])
@pytest.mark.parametrize("count", [2], ids=["a b"])
class TestIt:
    def test_it(self, count):
        race(count)
"""
        )
        result.assert_outcomes(failed=1)
        text = result.stdout.str()
        assert "pytest 'test_it.py::TestIt::test_it[a b]' '--explore-replay=" in text

    def test_the_option_overrides_the_runs_of_the_mark(self, run: Runner) -> None:
        result = run(RACY.replace("watch=[Counter], ", ""), "-rP", "--explore-runs=7")
        result.stdout.fnmatch_lines(["7 schedules of up to 3 threads*"])

    def test_skips_expected_failures_and_returned_values_keep_their_meaning(
        self, run: Runner
    ) -> None:
        result = run(
            """
@pytest.mark.explore(runs=3)
def test_skip():
    pytest.skip("not here")

@pytest.mark.explore(runs=3)
def test_xfail():
    pytest.xfail("known")

@pytest.mark.xfail(strict=True)
@pytest.mark.explore(watch=[Counter])
def test_marked():
    race()

@pytest.mark.explore(runs=3)
def test_returns():
    return 1
"""
        )
        result.assert_outcomes(skipped=1, xfailed=2, passed=1, warnings=1)

    def test_async_tests_without_the_mark_are_left_alone(self, run: Runner) -> None:
        result = run(
            """
class Plugin:
    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem):
        import asyncio
        asyncio.run(pyfuncitem.obj())
        return True

@pytest.fixture(scope="session", autouse=True)
def runs_async(pytestconfig):
    pytestconfig.pluginmanager.register(Plugin())

async def test_it():
    assert True
"""
        )
        result.assert_outcomes(passed=1)

    def test_any_test_that_explores_by_itself_gets_the_section(self, run: Runner) -> None:
        result = run(
            """
def test_it():
    from joinable.testing import explore
    explore(race, watch=[Counter])
"""
        )
        result.assert_outcomes(failed=1)
        result.stdout.re_match_lines([r"-+ explored schedule -+", r"[\d@>,]+"])


CASE = """
import unittest

@pytest.mark.explore
class TestIt(unittest.TestCase):
    def test_it(self):
        pass
"""


class TestWrongUse:
    @pytest.mark.parametrize(
        ("mark", "message"),
        [
            ("explore(run=1)", "explore(run=1): there is no such keyword; there are runs, *"),
            ("explore(3)", "explore takes keywords only, not (3,)"),
            ("explore(runs=0)", "explore(runs=0): at least 1 is needed"),
            ("explore(seed='x')", "explore(seed='x'): a whole number is needed"),
            ("explore(preemptions=True)", "explore(preemptions=True): a whole number is needed"),
            ("explore(strategy='all')", "explore(strategy='all'): use one of 'pct', *"),
            ("explore(watch=Counter)", "explore(watch=*): put what is to be watched into a list"),
        ],
    )
    def test_a_wrong_mark_is_an_error_of_its_test(
        self, run: Runner, mark: str, message: str
    ) -> None:
        result = run(f"@pytest.mark.{mark}\ndef test_it():\n    pass\n\ndef test_ok():\n    pass\n")
        result.assert_outcomes(errors=1, passed=1)
        result.stdout.fnmatch_lines([message.replace("[", "[[]")])
        assert "Traceback" not in result.stdout.str()

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (
                "@pytest.mark.explore\nasync def test_it():\n    pass\n",
                "explore runs plain functions, and this one is async",
            ),
            (
                CASE,
                "explore cannot run a unittest.TestCase; *",
            ),
        ],
        ids=["async", "unittest"],
    )
    def test_what_cannot_be_explored_says_so(self, run: Runner, source: str, message: str) -> None:
        result = run(source)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines([message])

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ("--explore-runs=0", "*--explore-runs: a whole number of at least 1 is needed*"),
            ("--explore-runs=x", "*--explore-runs: a whole number of at least 1 is needed*"),
            ("--explore-replay=1@", "*--explore-replay: '1@' is no schedule*"),
        ],
    )
    def test_a_wrong_option_is_a_usage_error(self, run: Runner, option: str, message: str) -> None:
        result = run(RACY, option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([message])

    def test_a_schedule_is_replayed_in_one_test_only(self, run: Runner) -> None:
        result = run(RACY + RACY.replace("test_race", "test_other"), "--explore-replay=1@2>2")
        result.assert_outcomes(errors=2)
        result.stdout.fnmatch_lines(["--explore-replay runs one test, and 2 that are marked *"])


class TestNoThreadLeaks:
    def test_it_fails_the_test_that_leaks_and_no_other(self, run: Runner) -> None:
        result = run(
            """
gate = threading.Event()

def test_leaks(no_thread_leaks):
    threading.Thread(target=gate.wait, name="forgotten").start()

def test_innocent(no_thread_leaks):
    thread = threading.Thread(target=int)
    thread.start()
    gate.set()

def test_does_not_ask():
    threading.Thread(target=gate.wait, name="not told").start()
"""
        )
        result.assert_outcomes(passed=3, errors=1)
        result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "*thread 'forgotten',*"])
        assert "not told" not in result.stdout.str()

    def test_it_goes_with_the_mark(self, run: Runner) -> None:
        result = run(
            """
@pytest.mark.explore(runs=20)
def test_it(no_thread_leaks):
    race()
"""
        )
        result.assert_outcomes(passed=1)


class TestCompany:
    def test_without_the_plugin_a_marked_test_runs_once(self, run: Runner) -> None:
        result = run(RACY, "-p", "no:joinable", "-W", "ignore::pytest.PytestUnknownMarkWarning")
        result.assert_outcomes(passed=1)

    def test_with_xdist(self, run: Runner) -> None:
        run.company = OTHERS
        result = run(RACY + RACY.replace("test_race", "test_other") + BAD_MARK, "-n2")
        result.assert_outcomes(failed=2, errors=1, passed=1)
        result.stdout.fnmatch_lines(["explore(runs=0): at least 1 *", "*explored schedule*"])

    def test_with_hypothesis_each_example_is_explored_and_the_example_shrinks(
        self, run: Runner
    ) -> None:
        run.company = OTHERS
        result = run(
            """
from hypothesis import given, settings, strategies as st

@pytest.mark.explore(watch=[Counter], runs=30)
@settings(deadline=None, max_examples=20, database=None, derandomize=True)
@given(count=st.integers(0, 4))
def test_it(count):
    race(count)
"""
        )
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*count=2,*", "*explored schedule*", "*--explore-replay=*"])

    def test_strict_markers_know_the_mark_and_it_is_listed(self, run: Runner) -> None:
        run(RACY.replace("watch=[Counter], ", ""), "--strict-markers").assert_outcomes(passed=1)
        result = run.again("--markers")
        result.stdout.fnmatch_lines(["@pytest.mark.explore(*"])

    def test_importing_the_plugin_imports_no_tools(self) -> None:
        code = (
            "import pytest, sys, joinable.pytest_plugin; "
            "print([n for n in sys.modules if n.startswith(('joinable.testing', 'hypothesis'))])"
        )
        process = subprocess.run(  # noqa: S603  (our own words)
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
        assert process.stdout == "[]\n"

    def test_it_is_an_entry_point(self) -> None:
        (entry,) = importlib.metadata.entry_points(group="pytest11", name="joinable")
        assert entry.value == "joinable.pytest_plugin"


BAD_MARK = """
@pytest.mark.explore(runs=0)
def test_bad_mark():
    pass

def test_plain():
    pass
"""


# -- used here, in this process -------------------------------------------------------------------


class LockedCounter:
    def __init__(self) -> None:
        self.value, self.lock = 0, threading.Lock()

    def add(self) -> None:
        with self.lock:
            self.value += 1


@pytest.mark.explore(strategy="dfs", runs=5000, watch=[LockedCounter])
def test_the_mark_is_used_by_our_own_suite(no_thread_leaks: None) -> None:
    del no_thread_leaks
    counter = LockedCounter()
    threads = [threading.Thread(target=counter.add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value == 2


# -- operations drawn by hypothesis, the seed of the schedules beside them ------------------------


class RacySet:
    def __init__(self) -> None:
        self.items: set[int] = set()
        self.lock = threading.Lock()

    def add(self, item: int) -> bool:
        with self.lock:
            new = item not in self.items
        with self.lock:
            self.items.add(item)
        return new

    def discard(self, item: int) -> None:
        with self.lock:
            self.items.discard(item)


class SafeSet(RacySet):
    def add(self, item: int) -> bool:
        with self.lock:
            new = item not in self.items
            self.items.add(item)
            return new


class SetModel:
    def __init__(self) -> None:
        self.items: set[int] = set()

    def add(self, item: int) -> bool:
        new = item not in self.items
        self.items.add(item)
        return new

    def discard(self, item: int) -> None:
        self.items.discard(item)


operation = st.tuples(st.sampled_from(["add", "discard"]), st.integers(0, 3))
programs = st.lists(st.lists(operation, min_size=1, max_size=3), min_size=1, max_size=3)
seeds = st.integers(0, 2**32 - 1)


class TestHypothesis:
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(operations=programs, seed=seeds)
    def test_a_safe_set_passes(self, operations: list[list[tuple[str, int]]], seed: int) -> None:
        check_linearizable(SafeSet, operations, SetModel, runs=20, seed=seed)

    def test_operations_and_seed_both_shrink(self) -> None:
        def fails(drawn: tuple[list[list[tuple[str, int]]], int]) -> bool:
            operations, seed = drawn
            try:
                check_linearizable(RacySet, operations, SetModel, runs=10, seed=seed)
            except ScheduleError as error:
                return error.schedule.count("@") >= 1
            return False

        operations, seed = find(
            st.tuples(programs, seeds),
            fails,
            settings=settings(max_examples=500, deadline=None, database=None, derandomize=True),
        )
        assert operations == [[("add", 0)], [("add", 0)]]
        assert seed == 0

    def test_a_seed_gives_the_same_schedules_each_time(self) -> None:
        def program() -> None:
            items = RacySet()
            threads = [threading.Thread(target=items.add, args=(1,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        first, again = (explore(program, runs=50, seed=-7, strategy="random") for _ in range(2))
        assert first == again
