"""Find a text in the files of a folder, in a window that goes on living while it is searched.

    python window.py
    python window.py FOLDER

A thread reads the files. The window shows what it has found and how far it is, stops it when
Cancel is pressed, and shows its error when it fails. Closing the window, or Ctrl-C in the terminal,
stops the thread, too, and the program ends when the thread has.
"""

from __future__ import annotations

import re
import signal
import sys
import time
import tkinter as tk
from pathlib import Path
from tkinter import ttk
from typing import TYPE_CHECKING

from joinable import CancelledError, Thread, checkpoint
from joinable.sync import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK = 50  # milliseconds from one look at the search to the next
PATIENCE = 5.0  # seconds for a search that has to end because the window is closed


# ---------------------------------------------------------------- the work: it knows no window


class Search:
    """A thread that looks for a text, and what it has found so far."""

    def __init__(self, folder: Path, wanted: str) -> None:
        self.folder, self.wanted = folder, wanted
        self.files = self.total = 0  # so many have been read; the latest number is all that counts
        # Every line counts. When it is full, the search waits: it must not drown the window.
        self.lines: Queue[str] = Queue(maxsize=500)
        # A daemon: a file system that hangs must not keep the program from ending.
        self.thread = Thread(target=self.run, name="search", daemon=True)

    def run(self) -> int:
        """Read all files and return how many lines were found; in the thread."""
        pattern = re.compile(self.wanted)
        paths = sorted(self.paths())
        self.total = len(paths)
        found = 0
        for path in paths:
            try:
                found += self.read(path, pattern)
            except OSError as error:  # this file; the search goes on
                self.lines.put(f"{path.relative_to(self.folder)}: {error.strerror}")
            self.files += 1
        return found

    def paths(self) -> Iterator[Path]:
        for path in self.folder.rglob("*"):
            checkpoint()  # here, and at each line, it stops when it is told to
            if path.is_file():
                yield path

    def read(self, path: Path, pattern: re.Pattern[str]) -> int:
        found = 0
        with path.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                checkpoint()
                if pattern.search(line):
                    found += 1
                    self.lines.put(f"{path.relative_to(self.folder)}:{number}: {line.strip()}")
        return found


# ---------------------------------------------------------------- the window


class Window:
    """The widgets, and what happens to them: all of it in the main thread."""

    def __init__(self, root: tk.Tk, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.search: Search | None = None
        self.leave_at: float | None = None  # set when the window is being closed
        self.build()
        root.protocol("WM_DELETE_WINDOW", self.close)
        self.look()

    def build(self) -> None:
        self.wanted = ttk.Entry(self.root)
        self.start_button = ttk.Button(self.root, text="Search", command=self.start)
        self.cancel_button = ttk.Button(self.root, text="Cancel", command=self.cancel)
        self.bar = ttk.Progressbar(self.root)
        self.list = tk.Listbox(self.root, width=80, height=14, activestyle="none")
        self.status = ttk.Label(self.root)
        self.wanted.grid(row=0, column=0, sticky="ew", padx=6, pady=6)
        self.start_button.grid(row=0, column=1)
        self.cancel_button.grid(row=0, column=2, padx=6)
        self.bar.grid(row=1, columnspan=3, sticky="ew", padx=6)
        self.list.grid(row=2, columnspan=3, sticky="nsew", padx=6, pady=6)
        self.status.grid(row=3, columnspan=3, sticky="w", padx=6, pady=(0, 6))
        self.root.columnconfigure(0, weight=1)
        self.root.rowconfigure(2, weight=1)
        self.wanted.bind("<Return>", lambda _: self.start_button.invoke())
        self.wanted.focus()
        self.rest("ready")

    def rest(self, text: str) -> None:
        """Say that nothing is going on."""
        self.start_button.state(["!disabled"])
        self.cancel_button.state(["disabled"])
        self.say(text)

    def say(self, text: str) -> None:
        self.status.configure(text=text)
        self.root.title(f"Search - {text}")

    # ------------------------------------------------------------ what the user does

    def start(self) -> None:
        self.start_button.state(["disabled"])
        self.cancel_button.state(["!disabled"])
        self.list.delete(0, tk.END)
        self.say("searching")
        self.search = Search(self.folder, self.wanted.get())
        self.search.thread.start()

    def cancel(self) -> None:
        """Ask the search to stop; `look` will see that it has."""
        if self.search:
            self.cancel_button.state(["disabled"])
            self.say("stopping")
            self.search.thread.cancel()

    def close(self) -> None:
        """Have the window go at once, and the program when the search has ended."""
        self.leave_at = time.monotonic() + PATIENCE
        self.root.withdraw()
        self.cancel()

    # ------------------------------------------------------------ what the search does

    def look(self) -> None:
        """Show what is new, and come again; the main loop calls this, and never has to wait."""
        if self.search:
            has_ended = self.search.thread.done()  # before the lines: then these are all
            self.show(self.search)
            if has_ended:
                self.finish(self.search)
        if self.leave_at and (not self.search or time.monotonic() > self.leave_at):
            self.root.destroy()
        else:
            self.root.after(LOOK, self.look)

    def show(self, search: Search) -> None:
        self.bar.configure(value=search.files, maximum=max(search.total, 1))
        for _ in range(search.lines.qsize()):  # those that are there now: more are coming
            self.list.insert(tk.END, search.lines.get_nowait())

    def finish(self, search: Search) -> None:
        self.search = None
        search.thread.join()  # it has done all it had to: this takes no time
        try:
            self.rest(f"{search.thread.result()} found in {search.files} files")
        except CancelledError:
            self.rest(f"stopped after {search.files} of {search.total} files")
        except Exception as error:  # noqa: BLE001  the user has to know, whatever it is
            self.rest(f"failed: {error}")


def main() -> None:
    """Open the window, and return when it was closed."""
    folder = Path(*sys.argv[1:2])
    if not folder.is_dir():
        sys.exit(f"{folder} is not a folder")
    root = tk.Tk()
    window = Window(root, folder)

    def leave(*_: object) -> None:
        window.close()

    # Python calls the handler when it has something to do: at the next look, at the latest.
    signal.signal(signal.SIGINT, leave)
    root.mainloop()


if __name__ == "__main__":
    main()
