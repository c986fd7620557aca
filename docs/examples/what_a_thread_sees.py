"""Show what a call in a thread sees of its caller, and of the call before it.

    python what_a_thread_sees.py

The first half uses the standard library, and what it prints depends on the interpreter. The second
half says the same by joinable, and prints the same everywhere.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

from joinable import ThreadLocal, bind, run_all, spawn

user = ContextVar("user", default="nobody")


def standard() -> None:
    """A `threading.local` and a bare `ContextVar` in standard threads."""
    cart = threading.local()

    def put(thing: str) -> list[str]:
        cart.things = [*getattr(cart, "things", []), thing]
        return cart.things  # type: ignore[no-any-return]

    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(put, "ann's hat").result()
        print("in the cart of bob:        ", pool.submit(put, "bob's tie").result())

    seen: list[str] = []
    user.set("ann")
    thread = threading.Thread(target=lambda: seen.append(user.get()))
    thread.start()
    thread.join()
    print("a thread that ann starts:  ", seen[0])

    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(user.get).result()
        user.set("bob")
        print("a call that bob submits:   ", pool.submit(user.get).result())


def joined() -> None:
    """The same by a `ThreadLocal`, and by `bind`."""
    cart = ThreadLocal[list[str]](list)

    def put(thing: str) -> list[str]:
        cart.get().append(thing)
        return cart.get()

    carts = run_all([lambda: put("ann's hat"), lambda: put("bob's tie")], max_workers=1)
    print("in the cart of bob:        ", carts[1])

    with bind(user, "ann"):
        print("a thread that ann starts:  ", spawn(user.get).result())
        run_all([user.get])
    with bind(user, "bob"):
        print("a call that bob submits:   ", run_all([user.get])[0])


def main() -> None:
    """Show both."""
    print("the standard library")
    standard()
    print("joinable")
    joined()


if __name__ == "__main__":
    main()
