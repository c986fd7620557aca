"""Ask a database until it has answered, or the scope says stop.

    python stop_a_query.py

It asks sqlite a question that is answered at once, and one that would take for ever.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from joinable import CancelScope, checkpoint, move_on_after, remaining

if TYPE_CHECKING:
    from collections.abc import Sequence

ENDLESS = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers)
SELECT sum(n) FROM numbers
"""
STEPS = 1_000_000  # of sqlite's: some milliseconds


def query(
    connection: sqlite3.Connection, sql: str, values: Sequence[object] = ()
) -> list[tuple[object, ...]]:
    """Return all rows of the answer; stop sqlite when the scope ends."""
    rows: list[tuple[object, ...]] = []
    # An interrupt that comes before sqlite has begun is lost. So sqlite itself looks, too.
    connection.set_progress_handler(lambda: remaining() == 0, STEPS)
    try:
        with CancelScope() as scope, scope.on_cancel(connection.interrupt):
            rows = connection.execute(sql, values).fetchall()
    except sqlite3.OperationalError:
        checkpoint()  # raises Cancelled: the look was quicker than the interrupt
        raise
    finally:
        connection.set_progress_handler(None, 0)
    return rows


def main() -> None:
    """Show both ends of a query."""
    with closing(sqlite3.connect(":memory:")) as connection:
        print("answered:", query(connection, "SELECT 6 * ?", [7]))
        with move_on_after(0.2) as scope:
            query(connection, ENDLESS)
        print("stopped: ", scope.cancelled_caught)
        print("usable:  ", query(connection, "SELECT 'still here'"))


if __name__ == "__main__":
    main()
