"""A database with a connection for each thread: batches are whole, waits end, connections close."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import programs
from joinable import (
    Cancelled,
    CancelScope,
    DeadlineExceeded,
    checkpoint,
    fail_after,
    move_on_after,
    spawn,
)
from joinable.sync import Event
from programs import not_on_windows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

example = programs.load("database")
HUGE = "1000000"  # batches: whatever comes in the meantime, it is in the middle of them
CLOSED = "a thread has closed its connection"


class Recorded(example.Database):  # type: ignore[misc, name-defined]  # a class of a loaded module
    """A database that notes which thread opens and which one closes a connection."""

    def __init__(self, path: Path) -> None:
        example.Database.__init__(self, path)  # `super` has no types for the checkers
        self.opened: list[tuple[int, int]] = []
        self.closed: list[tuple[int, int]] = []

    def connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = example.Database.connect(self)
        self.opened.append((id(connection), threading.get_ident()))
        return connection

    def close(self, connection: sqlite3.Connection) -> None:
        self.closed.append((id(connection), threading.get_ident()))
        example.Database.close(self, connection)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Recorded]:
    found = Recorded(tmp_path / "orders.db")
    with found.transaction() as connection:
        connection.execute(example.SCHEMA)
    yield found
    found.connections.delete()


def batch(number: int, *amounts: int) -> list[object]:
    return [example.Order(number, "ann", amount) for amount in amounts]


def stored(path: Path) -> dict[int, int]:
    """Return how many orders of each batch a connection of our own finds."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT batch, count(*) FROM orders GROUP BY 1"))


# -------------------------------------------------------------------- as a program


def test_it_stores_all_batches_but_the_wrong_one_and_closes_all_connections(
    tmp_path: Path,
) -> None:
    path = tmp_path / "orders.db"
    done = programs.run("database", "--path", path, "--workers", "4")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "39 batches are stored",
        "batch 7 is not: CHECK constraint failed: amount > 0",
        "ann has ordered for 3510",
        "bob has ordered for 3120",
        "cid has ordered for 3120",
        "a question without an end was stopped: True",
        "and the connection works: [(42,)]",
        *[CLOSED] * 5,
    ]
    # sqlite removes what it keeps beside the database when the last connection is closed.
    assert list(tmp_path.iterdir()) == [path]
    assert stored(path) == {number: 25 for number in range(1, 41) if number != 7}


@not_on_windows
def test_ctrl_c_leaves_whole_batches_and_closes_all_connections(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    with programs.started("database", "--path", path, "--batches", HUGE) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "batch 500 is stored\n"
        code, stdout, stderr = programs.press_ctrl_c(process)
    assert code == 130, stderr
    assert "Traceback" not in stderr
    first, count, refused, *rest = stdout.splitlines()
    assert (first, refused.partition(":")[0]) == ("stopped by Ctrl-C", "batch 7 is not")
    assert rest == [CLOSED] * 4
    assert list(tmp_path.iterdir()) == [path]
    found = stored(path)
    assert set(found.values()) == {25}
    assert count == f"{len(found)} batches are stored"
    assert len(found) > 450  # batch 500 may have overtaken some
    assert len(found) < int(HUGE)


# -------------------------------------------------------------------- transactions


def test_a_batch_with_a_wrong_order_leaves_nothing_and_the_others_are_stored(
    database: Recorded,
) -> None:
    store = example.Store(database)
    store.store_all([batch(1, 5, 5), batch(2, 5, -5), batch(3, 5)], 2)
    assert stored(database.path) == {1: 2, 3: 1}
    assert sorted(store.stored) == [1, 3]
    assert [type(error) for error in store.refused.values()] == [sqlite3.IntegrityError]
    assert list(store.refused) == [2]


def test_a_transaction_whose_scope_ends_leaves_nothing_and_lets_the_next_one_in(
    database: Recorded,
) -> None:
    with CancelScope() as scope, database.transaction() as connection:
        connection.execute("INSERT INTO orders VALUES (1, 'ann', 5)")
        scope.cancel()
        checkpoint()
    assert scope.cancelled_caught
    with database.transaction() as connection:
        connection.execute("INSERT INTO orders VALUES (2, 'bob', 5)")
    assert stored(database.path) == {2: 1}


def test_a_statement_of_a_transaction_is_interrupted_at_its_deadline(database: Recorded) -> None:
    with move_on_after(0.05) as scope, database.transaction() as connection:
        connection.execute("INSERT INTO orders VALUES (1, 'ann', 5)")
        connection.execute(example.ENDLESS).fetchall()
    assert scope.cancelled_caught
    assert stored(database.path) == {}
    assert database.query("SELECT 1") == [(1,)]


def test_a_batch_that_waits_too_long_for_the_others_is_refused(
    database: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "BATCH_LIMIT", 0.05)
    store = example.Store(database)
    with database.writing:
        store.store_all([batch(1, 5)], 1)
    assert isinstance(store.refused[1], DeadlineExceeded)
    assert stored(database.path) == {}


# -------------------------------------------------------------------- queries


def test_a_query_is_killed_at_its_deadline_and_the_connection_goes_on(database: Recorded) -> None:
    with pytest.raises(DeadlineExceeded), fail_after(0.05):
        database.query(example.ENDLESS)
    assert database.query("SELECT 6 * ?", [7]) == [(42,)]


def test_a_query_is_killed_when_its_thread_is_cancelled(database: Recorded) -> None:
    asked = Event()

    def ask() -> object:
        # sqlite calls this once a row, on the thread of the query: so that is in its middle.
        database.connections.get().create_function("told", 0, asked.set)
        return database.query(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
            "SELECT sum(i) FROM n WHERE i > 1 OR told()"
        )

    thread = spawn(ask)
    with fail_after(programs.PATIENCE):
        asked.wait()
        thread.cancel()
        thread.join()
    assert thread.cancelled()


def test_an_error_of_a_query_is_raised_as_it_is(database: Recorded) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        database.query("SELECT * FROM nowhere")


# -------------------------------------------------------------------- connections and threads


def test_each_thread_has_a_connection_of_its_own_and_closes_it_itself(
    database: Recorded,
) -> None:
    together = threading.Barrier(3)

    def ask() -> object:
        together.wait(programs.PATIENCE)
        return [database.query("SELECT 1"), database.query("SELECT 1")]

    threads = [spawn(ask) for _ in range(3)]
    for thread in threads:
        thread.join()
    mine = threading.get_ident()
    opened = [each for each in database.opened if each[1] != mine]
    assert sorted(database.closed) == sorted(opened)
    assert len({thread for _, thread in opened}) == 3


def test_a_database_that_cannot_be_opened_ends_everything(tmp_path: Path) -> None:
    store = example.Store(example.Database(tmp_path / "nowhere" / "orders.db"))
    endless = (batch(number, 5) for number in itertools.count(1))
    with pytest.raises(ExceptionGroup) as caught, fail_after(programs.PATIENCE):
        store.store_all(endless, 2)
    assert {type(error) for error in caught.value.exceptions} == {sqlite3.OperationalError}


def test_the_end_of_the_scope_ends_workers_that_wait_for_batches(database: Recorded) -> None:
    store = example.Store(database)

    def one_and_then_nothing() -> Iterator[list[object]]:
        yield batch(1, 5)
        Event().wait()

    with move_on_after(0.2) as scope:
        try:
            store.store_all(one_and_then_nothing(), 3)
        except Cancelled:
            assert stored(database.path) in ({}, {1: 1})
            raise
    assert scope.cancelled_caught
