"""Store batches of orders in a database with several threads, each with a connection of its own.

    python database.py
    python database.py --path orders.db --workers 4 --batches 1000

Threads take batches from a queue. Each batch is a transaction: it is stored whole or not at all,
also when one of its orders is wrong, when it takes too long, or at Ctrl-C. Then it asks the
database two questions, the second of which would take for ever and is stopped. Its exit code is 130
after Ctrl-C. Without `--path` the database is a temporary one.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from joinable import (
    CancelScope,
    DeadlineExceeded,
    TaskGroup,
    ThreadLocal,
    checkpoint,
    fail_after,
    move_on_after,
    remaining,
)
from joinable.sync import Lock, Queue, ShutDown

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

BATCH_LIMIT = 30.0  # seconds that one batch may take, with its wait for the others
STEPS = 1_000_000  # of sqlite's between two looks whether to stop: some milliseconds
SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    batch INTEGER NOT NULL, customer TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0)
)
"""
ENDLESS = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers)
SELECT sum(n) FROM numbers
"""


# ---------------------------------------------------------------- the database


class Database:
    """A database for all threads; each has a connection, from its first use to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writing = Lock()
        self.connections = ThreadLocal(self.connect, on_exit=self.close, per="thread")

    def connect(self) -> sqlite3.Connection:
        # No `check_same_thread=False`: so sqlite itself refuses what comes from another thread.
        connection = sqlite3.connect(self.path, isolation_level=None)  # `transaction` begins them
        connection.execute("PRAGMA journal_mode = WAL")  # who reads and who writes go on together
        return connection

    def close(self, connection: sqlite3.Connection) -> None:
        connection.close()
        sys.stdout.write("a thread has closed its connection\n")  # one write: others close, too

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Keep all that the block does, or, if an error or the scope ends it, nothing."""
        connection = self.connections.get()
        with self.writing:  # sqlite lets in one at a time, too, but no scope ends its wait
            try:
                connection.execute("BEGIN IMMEDIATE")
                with stoppable(connection):
                    yield connection
                connection.execute("COMMIT")
            except BaseException:  # `Cancelled` is not an Exception
                connection.rollback()
                raise

    def query(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Return all rows of an answer; stop when the scope does."""
        connection = self.connections.get()
        with stoppable(connection):
            rows: list[tuple[object, ...]] = connection.execute(sql, values).fetchall()
        return rows


@contextmanager
def stoppable(connection: sqlite3.Connection) -> Generator[None]:
    """Stop what the connection is doing in the block when the scope ends."""
    # An interrupt that comes before sqlite has begun is lost. So sqlite itself looks, too.
    connection.set_progress_handler(lambda: remaining() == 0, STEPS)
    try:
        with CancelScope() as scope, scope.on_cancel(connection.interrupt):
            yield
    except sqlite3.OperationalError:
        checkpoint()  # raises Cancelled: the look was quicker than the interrupt
        raise
    finally:
        connection.set_progress_handler(None, 0)


# ---------------------------------------------------------------- the workers


class Order(NamedTuple):
    """A row of the table."""

    batch: int
    customer: str
    amount: int


class Store:
    """Threads that store what comes out of a queue."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.batches = Queue[list[Order]](maxsize=10)  # who is quicker than the database waits
        # Each thread notes what it has done, in one step.
        self.stored: list[int] = []
        self.refused: dict[int, Exception] = {}

    def store_all(self, batches: Iterable[list[Order]], workers: int) -> None:
        """Store all of them, and return when that is done."""
        with TaskGroup() as group:
            for _ in range(workers):
                group.spawn(self.work)
            for batch in batches:
                self.batches.put(batch)
            self.batches.shutdown()  # what is in the queue is still taken out

    def work(self) -> None:
        """Store one batch after the other, until there will be no more."""
        self.database.connections.get()  # if that fails, it does so at the beginning
        with suppress(ShutDown):
            while True:
                self.store_or_refuse(self.batches.get())

    def store_or_refuse(self, batch: list[Order]) -> None:
        """Store a batch; what is wrong with it is no reason to stop."""
        number = batch[0].batch
        try:
            with fail_after(BATCH_LIMIT):
                self.store(batch)
        except (sqlite3.Error, DeadlineExceeded) as error:
            self.refused[number] = error
        else:
            self.stored.append(number)
            if number % 500 == 0:
                sys.stderr.write(f"batch {number} is stored\n")

    def store(self, batch: list[Order]) -> None:
        with self.database.transaction() as connection:
            for order in batch:
                connection.execute("INSERT INTO orders VALUES (?, ?, ?)", order)


# ---------------------------------------------------------------- the demonstration


def orders(count: int) -> Iterator[list[Order]]:
    """Yield batches of 25 orders; one order of the seventh batch is wrong."""
    for number in range(1, count + 1):
        customers = itertools.islice(itertools.cycle(("ann", "bob", "cid")), 25)
        batch = [Order(number, customer, 10) for customer in customers]
        if number == 7:
            batch[20] = Order(number, "bob", -10)
        yield batch


def report(database: Database) -> None:
    """Ask two questions."""
    sums = database.query("SELECT customer, sum(amount) FROM orders GROUP BY 1 ORDER BY 1")
    print(*(f"{customer} has ordered for {amount}" for customer, amount in sums), sep="\n")
    with move_on_after(0.3) as scope:
        database.query(ENDLESS)
    print("a question without an end was stopped:", scope.cancelled_caught)
    print("and the connection works:", database.query("SELECT 6 * ?", [7]))


def run(path: Path, workers: int, batches: int) -> int:
    """Fill the database, ask it, and return the exit code."""
    database = Database(path)
    with database.transaction() as connection:
        connection.execute(SCHEMA)
    store = Store(database)
    code = 0
    try:
        store.store_all(orders(batches), workers)
    except KeyboardInterrupt as interrupt:
        left_running = getattr(interrupt, "__notes__", ())  # after a second Ctrl-C
        print("stopped by Ctrl-C", *left_running, sep="\n")
        code = 130
    print(f"{len(store.stored)} batches are stored")
    for number, error in sorted(store.refused.items()):
        print(f"batch {number} is not: {error}")
    if not code:
        report(database)
    return code


def count(text: str) -> int:
    """Read a number of at least 1, for argparse."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Store orders with a connection for each thread.")
    add = parser.add_argument
    add("--path", type=Path, help="the database; none: a temporary one")
    add("--workers", type=count, default=3, help="threads (default: %(default)s)")
    add("--batches", type=count, default=40, help="of 25 orders (default: %(default)s)")
    options = parser.parse_args()
    try:
        if options.path:
            return run(options.path, options.workers, options.batches)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            return run(Path(folder) / "orders.db", options.workers, options.batches)
    except KeyboardInterrupt:  # before or after the batches
        return 130


if __name__ == "__main__":
    sys.exit(main())
