"""Give each test values of its own, by fixtures that bind them.

    python -m pytest fixtures.py

`greet_all` is the code under test: it works in threads, asks who the user is, and has a connection
for each thread. A fixture binds other values for the time of a test, and whatever the test sets,
the next one finds what was there before.
"""

from __future__ import annotations

import sqlite3
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING

import pytest

from joinable import ThreadLocal, bind, run_all

if TYPE_CHECKING:
    from collections.abc import Generator

# ---------------------------------------------------------------- the code under test

user = ContextVar("user", default="nobody")
connection = ThreadLocal(
    lambda: sqlite3.connect(":memory:"), on_exit=sqlite3.Connection.close, per="thread"
)


def greet(name: str) -> str:
    (text,) = connection.get().execute("select 'hello ' || ?", (name,)).fetchone()
    return f"{text}, says {user.get()}"


def greet_all(*names: str) -> list[str]:
    return run_all([partial(greet, name) for name in names])


# ---------------------------------------------------------------- its tests


@pytest.fixture
def ann() -> Generator[None]:
    """Let the test be ann, and all threads that it starts."""
    with bind(user, "ann"):
        yield


@pytest.fixture
def own_connection() -> Generator[sqlite3.Connection]:
    """Give the thread of the test a connection of its own, which is closed after it."""
    made = sqlite3.connect(":memory:")
    with connection.bind(made):
        yield made
    made.close()  # what is bound belongs to whoever binds it


@pytest.mark.usefixtures("ann")
def test_threads_know_who_the_user_is() -> None:
    assert greet_all("bob", "cid") == ["hello bob, says ann", "hello cid, says ann"]
    user.set("dan")  # for the rest of this test


def test_the_next_test_is_nobody() -> None:
    assert greet_all("bob") == ["hello bob, says nobody"]


def test_the_connection_of_this_thread_is_the_one_that_was_bound(
    own_connection: sqlite3.Connection,
) -> None:
    assert connection.get() is own_connection
    assert greet("bob") == "hello bob, says nobody"


def test_another_test_has_another_connection(own_connection: sqlite3.Connection) -> None:
    assert own_connection.execute("select count(*) from sqlite_master").fetchone() == (0,)
