"""`executor=`: what is taken for one, what it is handed, and executors that misbehave."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import pickle
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool as StandardThreadPool
from typing import TYPE_CHECKING, Any

import pytest

from executing import AtOnce, Desk
from joinable import run_all, run_each
from joinable._foreign import Work
from joinable.executors import dask_executor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def through_run_all(executor: Any) -> object:
    return run_all([int], executor=executor)


def through_run_each(executor: Any) -> object:
    return list(run_each(int, ["0"], executor=executor))


@pytest.fixture(params=[through_run_all, through_run_each])
def run(request: pytest.FixtureRequest) -> Callable[[Any], object]:
    way: Callable[[Any], object] = request.param
    return way


# -------------------------------------------------------------------- what is no executor


def test_the_class_in_the_place_of_an_executor_is_refused(run: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match="not the class ProcessPoolExecutor: with Proc"):
        run(ProcessPoolExecutor)


def test_what_has_no_submit_is_refused(run: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"executor must have a method submit\(fn\), unlike 3"):
        run(3)


def test_an_event_loop_is_refused_with_the_right_words(run: Callable[[Any], object]) -> None:
    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(TypeError, match="an event loop runs coroutines"):
            run(loop)
    finally:
        loop.close()


def test_a_pool_of_multiprocessing_is_refused_with_the_right_words(
    run: Callable[[Any], object],
) -> None:
    with (
        StandardThreadPool(1) as pool,
        pytest.raises(TypeError, match="ProcessPoolExecutor in the place of such"),
    ):
        run(pool)
    pool.join()


def test_a_dask_client_is_refused_with_the_way_to_an_executor(
    run: Callable[[Any], object],
) -> None:
    client = type("Client", (), {"get_executor": 1, "submit": 1, "__module__": "distributed.x"})
    with pytest.raises(TypeError, match=r"give it joinable.executors.dask_executor\(client\)"):
        run(client())


def test_without_dask_the_helper_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'joinable\[dask\]'"):
        dask_executor(object())  # type: ignore[arg-type]


def test_the_helper_takes_clients_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        asynchronous = True

    stand_in = type("module", (), {"Client": Client})
    monkeypatch.setitem(__import__("sys").modules, "distributed", stand_in)
    with pytest.raises(TypeError, match="client must be a distributed"):
        dask_executor(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="client must not be asynchronous"):
        dask_executor(Client())  # type: ignore[arg-type]


def test_bad_arguments_are_refused_before_anything_is_handed_in() -> None:
    desk = Desk()
    with pytest.raises(TypeError, match=r"funcs\[1\] must be callable"):
        run_all([int, 3], executor=desk)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_workers must be at least 1"):
        run_each(int, ["1"], max_workers=0, executor=desk)
    with pytest.raises(TypeError, match="timeout"):
        run_all([int], timeout="soon", executor=desk)  # type: ignore[call-overload]
    assert not desk.calls


# -------------------------------------------------------------------- what it is handed


def test_it_is_handed_calls_without_arguments() -> None:
    class Strict(AtOnce):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            assert len(args) == 1
            assert not kwargs
            return super().submit(*args)

    assert run_all([functools.partial(pow, 2, 5)], executor=Strict()) == [32]
    assert list(run_each(pow, [2, 3], [5, 2], executor=Strict())) == [32, 9]


def test_what_crosses_to_another_process_is_nothing_of_ours() -> None:
    work = Work(pow, (2, 5), contextvars.copy_context())
    sent = pickle.dumps(work)
    assert b"joinable" not in sent
    arrived = pickle.loads(sent)  # noqa: S301  our own
    assert isinstance(arrived, functools.partial)
    assert arrived() == work() == 32


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_knows_whether_it_could_be_pickled(protocol: int) -> None:
    context = contextvars.copy_context()
    good = Work(pow, (2, 5), context)
    assert not good.could_not_be_sent()
    pickle.dumps(good, protocol)
    assert not good.could_not_be_sent()
    for bad in (Work(abs, (threading.Lock(),), context), Work(lambda: 1, (), context)):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            pickle.dumps(bad, protocol)
        assert bad.could_not_be_sent()


def test_it_has_the_name_of_its_function() -> None:
    context = contextvars.copy_context()
    assert Work(pow, (), context).__name__ == "pow"
    assert Work(functools.partial(pow), (), context).__name__ == "partial"


def test_two_calls_never_look_the_same_to_dask() -> None:
    context = contextvars.copy_context()
    tokens = {Work(pow, (2, 5), context).__dask_tokenize__() for _ in range(100)}
    assert len(tokens) == 100


def test_calls_in_this_process_have_a_copy_of_the_context_of_the_caller() -> None:
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(1)

    def call(number: int) -> tuple[int, int]:
        seen = variable.get()
        variable.set(10 + number)
        return number, seen

    with ThreadPoolExecutor(1) as executor:
        got = list(run_each(call, range(3), executor=executor))
        calls = [functools.partial(call, number) for number in range(3)]
        assert run_all(calls, executor=executor) == got == [(0, 1), (1, 1), (2, 1)]
    assert variable.get() == 1


def test_the_source_has_one_private_context_and_is_read_by_the_consumer() -> None:
    variable = contextvars.ContextVar("variable", default=0)
    threads: set[threading.Thread] = set()

    def source() -> Iterator[int]:
        for _ in range(200):
            threads.add(threading.current_thread())
            variable.set(variable.get() + 1)
            yield variable.get()

    with ThreadPoolExecutor(2) as executor:
        assert list(run_each(abs, source(), executor=executor)) == [*range(1, 201)]
    assert variable.get() == 0
    assert threads == {threading.current_thread()}


def test_it_is_not_shut_down(run: Callable[[Any], object]) -> None:
    with ThreadPoolExecutor(1) as executor:
        run(executor)
        run(executor)
        assert executor.submit(int).result() == 0


# -------------------------------------------------------------------- executors that misbehave


def test_a_submit_that_returns_no_future_is_told(run: Callable[[Any], object]) -> None:
    class Forgetful:
        def submit(self, fn: Callable[[], object]) -> object:
            return fn()

    with pytest.raises(TypeError, match=r"submit\(\) of the Forgetful must return a future.*int"):
        run(Forgetful())


def test_an_error_of_submit_is_raised_with_what_it_was_about(run: Callable[[Any], object]) -> None:
    with ThreadPoolExecutor(1) as executor:
        pass
    with pytest.raises(RuntimeError, match="after shutdown") as caught:
        run(executor)
    assert "the ThreadPoolExecutor has not taken call 0 of the run_" in caught.value.__notes__[0]


class Twice(Desk):
    """Tells of each end twice, once in another thread."""

    def submit(self, fn: Callable[[], Any], /) -> Future[Any]:
        class Chatty(Future[Any]):
            def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
                super().add_done_callback(fn)
                super().add_done_callback(fn)
                thread = threading.Thread(target=fn, args=(self,))
                thread.start()
                thread.join()

        future = Chatty()
        future.set_running_or_notify_cancel()
        future.set_result(fn())
        return future


def test_an_end_that_is_told_more_than_once_counts_once() -> None:
    calls = [functools.partial(int, "7")] * 10
    assert run_all(calls, executor=Twice()) == [7] * 10
    assert list(run_each(int, ["7"] * 100, ordered=False, executor=Twice())) == [7] * 100


class TooEarly(Future[Any]):
    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        fn(self)


def test_an_end_that_is_told_before_it_comes_is_an_error(run: Callable[[Any], object]) -> None:
    class Hasty:
        def submit(self, _: Callable[[], object]) -> Future[Any]:
            return TooEarly()

    with pytest.raises(TimeoutError):
        run(Hasty())


def test_a_cancel_that_raises_is_only_a_try() -> None:
    made: list[int] = []
    desk = Desk()

    class Stubborn(Future[Any]):
        def cancel(self) -> bool:
            maker = threading.Thread(target=desk.make, args=(1,))
            maker.start()
            maker.join()
            raise RuntimeError("never")

    class Executor:
        def submit(self, fn: Callable[[], Any], /) -> Future[Any]:
            future = desk.submit(fn)
            if len(desk.futures) == 2:
                future = desk.futures[1] = Stubborn()
                desk.futures[0].set_exception(ValueError("first"))
            return future

    with pytest.raises(ValueError, match="first"):
        calls: list[Callable[[], object]] = [int, functools.partial(made.append, 1)]
        run_all(calls, executor=Executor())
    assert desk.begun == [1]
    assert not made, "what was taken back does not begin, whatever the executor does"
