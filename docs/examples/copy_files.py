"""Copy a folder of many files with several threads, and keep the SHA-256 sum of each.

    python copy_files.py
    python copy_files.py photos /mnt/backup/photos
    python copy_files.py photos /mnt/backup/photos --workers 16

A file of the target is whole or not there, whenever you look and however it ends: an error, Ctrl-C,
a power button. The sums are in `SHA256SUMS` in the target (`sha256sum -c SHA256SUMS` checks them).
What has its sum there and has not changed since is not copied again, so after an interruption the
same command goes on. Without arguments it copies a generated folder, twice. Its exit code is 0 when
all was copied, 1 when something could not be, and 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import itertools
import os
import random
import re
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from joinable import checkpoint, run_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANIFEST = "SHA256SUMS"
CHUNK = 1 << 20  # bytes between two looks whether to stop
# Errors that are not about one file: the next one would fail as well.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
# How `sha256sum` writes names in which there are such letters; the line begins with "\\" then.
LETTERS = {"n": "\n", "r": "\r", "\\": "\\"}
ESCAPES = str.maketrans({letter: f"\\{code}" for code, letter in LETTERS.items()})


# ---------------------------------------------------------------- one file


class Copied(NamedTuple):
    """What is known of a file that was copied."""

    digest: str
    size: int


class Copier:
    """Copies files from one folder to another; many threads may be in `copy` at a time."""

    def __init__(self, source: Path, target: Path, parts: Path) -> None:
        self.source, self.target, self.parts = source, target, parts
        self.numbers = itertools.count()
        # Each thread notes what it has done, in one step, so nothing of it is lost after Ctrl-C.
        self.copied: dict[str, Copied] = {}
        self.failed: dict[str, OSError] = {}

    def copy(self, name: str) -> None:
        """Copy one file; note an error that concerns no other one."""
        try:
            self.copied[name] = self.copy_whole(self.source / name, self.target / name)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            self.failed[name] = error

    def copy_whole(self, source: Path, target: Path) -> Copied:
        """Copy one file, and let it have its name when all of it is there."""
        if not source.is_file():  # to open a pipe would wait for its other end
            raise OSError("neither a file nor a link to one")
        if target == self.target / MANIFEST:
            raise OSError("the sums of the copy have that name")
        part = self.parts / str(next(self.numbers))  # `next` of a count is one step
        digest, size = hashlib.sha256(), 0
        with source.open("rb") as reading, part.open("wb") as writing:
            while chunk := reading.read(CHUNK):
                checkpoint()  # the place where this thread can be stopped
                digest.update(chunk)
                size += writing.write(chunk)
            writing.flush()
            os.fsync(writing.fileno())  # or the name may be on the disk before the content
        shutil.copystat(source, part)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)  # in one step: nobody ever sees half of it
        return Copied(digest.hexdigest(), size)


# ---------------------------------------------------------------- the manifest


def read_sums(manifest: Path) -> dict[str, str]:
    """Return the sums of an earlier run by the names of the files; none if there was no run."""
    try:
        text = manifest.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return {}
    sums: dict[str, str] = {}
    for line in filter(None, text.split("\n")):
        digest, _, name = line.partition("  ")
        if digest.startswith("\\"):
            name = re.sub(r"\\(.)", lambda found: LETTERS.get(found[1], found[1]), name)
        sums[name] = digest.removeprefix("\\")
    return sums


def write_sums(manifest: Path, parts: Path, sums: Mapping[str, str]) -> None:
    """Write all sums in one step, as `sha256sum` writes them."""
    lines: list[str] = []
    for name, digest in sorted(sums.items()):
        escaped = name.translate(ESCAPES)
        mark = "" if escaped == name else "\\"
        lines.append(f"{mark}{digest}  {escaped}\n")
    part = parts / MANIFEST
    with part.open("wb") as writing:
        writing.write("".join(lines).encode("utf-8", "surrogateescape"))
        writing.flush()
        os.fsync(writing.fileno())
    part.replace(manifest)


# ---------------------------------------------------------------- all files


class Bar:
    """A line that fills up, drawn at most twenty times a second."""

    def __init__(self) -> None:
        self.done, self.total, self.drawn = 0, 0, 0.0

    def start(self, total: int | None) -> None:
        self.total = total or 0
        self.draw()

    def advance(self, n: int) -> None:
        self.done += n
        if time.monotonic() - self.drawn > 0.05:
            self.draw()

    def finish(self) -> None:
        self.draw()
        sys.stderr.write("\n")

    def draw(self) -> None:
        self.drawn = time.monotonic()
        filled = 30 * self.done // self.total if self.total else 30
        sys.stderr.write(f"\r[{'#' * filled:<30}] {self.done} of {self.total} files")
        sys.stderr.flush()


def files_in(folder: Path, failed: dict[str, OSError]) -> Iterator[str]:
    """Yield the names of all files in a folder and its folders; note what cannot be read."""

    def note(error: OSError) -> None:
        failed[Path(error.filename).relative_to(folder).as_posix()] = error

    for parent, folders, files in os.walk(folder, onerror=note):
        folders.sort()
        for file in sorted(files):
            yield (Path(parent) / file).relative_to(folder).as_posix()


def is_unchanged(source: Path, target: Path) -> bool:
    """Whether a copy is still like its source, by its size and its time."""
    try:
        old, new = target.stat(), source.stat()
    except OSError:
        return False
    return (old.st_size, old.st_mtime_ns) == (new.st_size, new.st_mtime_ns)


def copy_all(source: Path, target: Path, workers: int) -> int:
    """Copy what is not there yet, say what has become of it, and return the exit code."""
    began = time.perf_counter()
    target.mkdir(parents=True, exist_ok=True)
    # In the target: only on one disk a file can get its name in one step.
    with tempfile.TemporaryDirectory(prefix=".copying-", dir=target) as parts:
        copier = Copier(source, target, Path(parts))
        names = list(files_in(source, copier.failed))
        known = read_sums(target / MANIFEST)
        there = {n: known[n] for n in names if n in known and is_unchanged(source / n, target / n)}
        # First without what is about to change: no sum may ever stand beside another content.
        write_sums(target / MANIFEST, Path(parts), there)
        todo = [partial(copier.copy, name) for name in names if name not in there]
        try:
            run_all(todo, max_workers=workers, progress=Bar())
        finally:  # also after Ctrl-C, and when the disk is full
            # A copy, made in one step: after a second Ctrl-C threads may be left that still add.
            copied = copier.copied.copy()
            sums = {name: file.digest for name, file in copied.items()}
            write_sums(target / MANIFEST, Path(parts), there | sums)
            seconds = time.perf_counter() - began
            rate = sum(file.size for file in copied.values()) / 1e6 / seconds
            print(f"{len(copied)} copied in {seconds:.2f} s ({rate:.0f} MB/s)")
            print(f"{len(there)} were there before")
    for name, error in sorted(copier.failed.items()):
        print(f"not copied: {name}: {error.strerror or error}")
    return 1 if copier.failed else 0


# ---------------------------------------------------------------- the command line


def demonstrate(workers: int) -> None:
    """Copy a generated folder in which one file is missing, and again when it has been found."""
    numbers = random.Random(1)  # noqa: S311  nothing here is a secret
    with tempfile.TemporaryDirectory() as folder:
        photos, backup = Path(folder) / "photos", Path(folder) / "backup"
        for number in range(240):
            photo = photos / f"{2000 + number // 10}" / f"{number:03}.raw"
            photo.parent.mkdir(parents=True, exist_ok=True)
            photo.write_bytes(numbers.randbytes(numbers.randrange(200_000)))
        film = Path(folder) / "film.mp4"
        (photos / "film.mp4").symlink_to(film)
        copy_all(photos, backup, workers)
        film.write_bytes(numbers.randbytes(3_000_000))
        print("\nThe film is found. Once more:")
        copy_all(photos, backup, workers)


def count(text: str) -> int:
    """Read a number of at least 1, for argparse."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Copy many files, each of them whole or not.")
    parser.add_argument("source", nargs="?", type=Path, help="a folder; none: a demonstration")
    parser.add_argument("target", nargs="?", type=Path, help="another one; made if it is missing")
    parser.add_argument("--workers", type=count, default=8, help="files at a time (%(default)s)")
    options = parser.parse_args()
    source, target = options.source, options.target
    if source and not (target and source.is_dir()):
        parser.error("it needs a folder to copy from, and one to copy to")
    if source and target.resolve().is_relative_to(source.resolve()):
        parser.error("the target lies in the source: it would be copied into itself")
    try:
        if source:
            return copy_all(source, target, options.workers)
        demonstrate(options.workers)
    except KeyboardInterrupt as interrupt:
        left_running = getattr(interrupt, "__notes__", ())  # after a second Ctrl-C
        print("stopped; the same command goes on", *left_running, sep="\n", file=sys.stderr)
        return 130
    except OSError as error:  # the disk is full, the target cannot be written
        print(f"given up: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
