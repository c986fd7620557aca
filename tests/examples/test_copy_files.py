"""Copying many files: whatever happens, each is whole or not there, and has its sum."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import programs
from programs import not_on_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

copy_files = programs.load("copy_files")
copy_all: Callable[[Path, Path, int], int] = copy_files.copy_all


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a folder with some files, one of them in three chunks, one empty, one that can run."""
    folder = tmp_path / "source"
    for number in range(10):
        path = folder / f"folder {number % 3}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * number * 1000)
        os.utime(path, ns=(10**18 + number, 10**18 + number))
    (folder / "large.bin").write_bytes(os.urandom(2 * copy_files.CHUNK + 1))
    (folder / "large.bin").chmod(0o750)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "target"


def files(folder: Path) -> dict[str, bytes]:
    """Return what is in all files of a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def sums(folder: Path) -> dict[str, str]:
    """Return the sums that the manifest has."""
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def expected_sums(folder: Path) -> dict[str, str]:
    """Return the sums that the files of a folder have."""
    return {
        name: hashlib.sha256(content).hexdigest()
        for name, content in files(folder).items()
        if name != "SHA256SUMS"
    }


# -------------------------------------------------------------------- to its end


def test_every_file_is_copied_with_its_sum_its_time_and_its_rights(
    source: Path, target: Path
) -> None:
    done = programs.run("copy_files", source, target)
    assert done.returncode == 0, done.stderr
    assert sums(target) == expected_sums(source)
    copied = files(target)
    del copied["SHA256SUMS"]
    assert copied == files(source)
    for name in copied:
        old, new = (source / name).stat(), (target / name).stat()
        assert (old.st_mtime_ns, old.st_mode) == (new.st_mtime_ns, new.st_mode)
    assert "11 copied in " in done.stdout
    assert done.stderr.endswith(f"\n[{'#' * 30}] 11 of 11 files\n")
    assert {path.name for path in target.iterdir()} == {
        *(path.name for path in source.iterdir()),
        "SHA256SUMS",  # and no folder of parts
    }


def test_what_is_there_and_unchanged_is_not_copied_again(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert copy_all(source, target, 4) == 0
    kept = {path: path.stat().st_ino for path in target.rglob("*.bin")}
    (source / "folder 0" / "0.bin").write_bytes(b"changed")
    (target / "folder 1" / "1.bin").unlink()
    (target / "folder 2" / "2.bin").write_bytes(b"spoilt")
    (source / "new.bin").write_bytes(b"new")
    capsys.readouterr()
    assert copy_all(source, target, 4) == 0
    said = capsys.readouterr().out
    assert "4 copied in " in said
    assert "8 were there before" in said
    assert sums(target) == expected_sums(source) == expected_sums(target)
    again = {path.name for path, inode in kept.items() if path.stat().st_ino != inode}
    assert again == {"0.bin", "1.bin", "2.bin"}


def test_any_name_that_a_file_can_have_is_written_as_sha256sum_reads_it(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [b"back\\slash", b"back\\nslash", b"\\first", b"new\nline", b"cr\r", b" blanks  "]
    names.append(b"\xff")  # not to be read as UTF-8
    for name in names:
        (source / os.fsdecode(name)).write_bytes(name)
    assert copy_all(source, target, 4) == 0
    capsys.readouterr()
    assert copy_all(source, target, 4) == 0
    assert "\n18 were there before\n" in capsys.readouterr().out
    command = shutil.which("sha256sum")
    if command is None:
        pytest.skip("there is no sha256sum to ask")
    check = subprocess.run(  # noqa: S603  a program of the system
        [command, "--check", "--strict", "SHA256SUMS"], cwd=target, capture_output=True, check=False
    )
    assert check.returncode == 0, check
    assert check.stdout.count(b": OK\n") == 18


@pytest.mark.parametrize(
    "arguments",
    [("nowhere", "target"), ("source",), ("source", "source"), ("source", "source/deep/er")],
)
def test_it_refuses_what_it_cannot_copy(
    source: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(source)
    monkeypatch.chdir(source.parent)
    monkeypatch.setattr(sys, "argv", ["copy_files.py", *arguments])
    with pytest.raises(SystemExit, match="2"):
        copy_files.main()
    assert files(source) == before
    assert not (source.parent / "target").exists()


# -------------------------------------------------------------------- one that cannot be copied


def spoil(source: Path) -> dict[str, str]:
    """Add files that cannot be copied; return what is to be said of each."""
    wrong = {"nowhere": "neither a file nor a link to one", "SHA256SUMS": "the sums of the copy"}
    (source / "nowhere").symlink_to("does-not-exist")
    (source / "SHA256SUMS").write_bytes(b"of something else")
    if hasattr(os, "mkfifo"):
        os.mkfifo(source / "pipe")
        wrong["pipe"] = "neither a file nor a link to one"
    if Path("/proc/self/mem").exists():  # it can be opened and not be read, by root too
        (source / "unreadable").symlink_to("/proc/self/mem")
        wrong["unreadable"] = os.strerror(errno.EIO)
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        (source / "secret").touch(mode=0)
        (source / "private").mkdir(mode=0)
        wrong["secret"] = wrong["private"] = os.strerror(errno.EACCES)
    return wrong


def test_a_file_that_cannot_be_read_is_named_and_costs_no_other_one(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = expected_sums(source)
    wrong = spoil(source)
    assert copy_all(source, target, 3) == 1
    lines = capsys.readouterr().out.splitlines()
    said = dict(line.split(": ")[1:] for line in lines if line.startswith("not copied: "))
    assert said.keys() == wrong.keys()
    assert all(said[name].startswith(words) for name, words in wrong.items())
    assert sums(target) == right == expected_sums(target)
    assert not list(target.glob(".copying-*"))


def test_a_full_disk_ends_it_and_what_is_whole_keeps_its_sum(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    real = copy_files.Copier.copy_whole

    def copy_whole(self: object, source: Path, target: Path) -> object:
        begun.append(target.name)
        if len(begun) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, source, target)

    monkeypatch.setattr(copy_files.Copier, "copy_whole", copy_whole)
    with pytest.raises(OSError, match="No space left"):
        copy_all(source, target, 1)
    assert len(begun) == 4  # nothing more was started
    assert len(sums(target)) == 3
    assert sums(target) == expected_sums(target)
    assert not list(target.glob(".copying-*"))


# -------------------------------------------------------------------- interrupted

# The program, in which each file takes for ever, so that it is in its middle when it says so.
SLOW = """
    import sys, copy_files
    checkpoint, chunks = copy_files.checkpoint, 0
    def announce():
        global chunks
        chunks += 1
        if chunks == 3:
            print("in the middle", flush=True)
        checkpoint()
    copy_files.checkpoint, copy_files.CHUNK = announce, 16
    sys.exit(copy_files.main())
"""


@contextmanager
def in_the_middle(source: Path, target: Path) -> Generator[subprocess.Popen[str]]:
    """Give a process that has copied the first file, and is in the middle of the second one."""
    (source / "a.bin").write_bytes(b"first")
    with (source / "b.bin").open("wb") as file:
        file.truncate(1 << 32)  # all of it a hole: it takes no place, and is never read to its end
    arguments = (source, target, "--workers", "1")
    with programs.started("copy_files", *arguments, code=textwrap.dedent(SLOW)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the middle\n"
        yield process


@not_on_windows
def test_ctrl_c_leaves_no_half_file_and_the_same_command_goes_on(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with in_the_middle(source, target) as process:
        assert [path.name for path in target.glob(".copying-*/*")] == ["1"]  # b, a part of it
        code, stdout, stderr = programs.press_ctrl_c(process)
    assert code == 130, stderr
    assert stderr.endswith("stopped; the same command goes on\n")
    assert "Traceback" not in stderr
    assert stdout.startswith("1 copied in ")
    assert files(target).keys() == {"a.bin", "SHA256SUMS"}
    assert sums(target) == expected_sums(target)
    assert not list(target.glob(".copying-*"))
    (source / "b.bin").write_bytes(b"second")
    assert copy_all(source, target, 2) == 0
    assert "\n1 were there before\n" in capsys.readouterr().out
    assert sums(target) == expected_sums(source) == expected_sums(target)


@not_on_windows
def test_a_kill_leaves_whole_files_and_no_sum_that_is_wrong(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.bin").write_bytes(b"old")
    (source / "c.bin").write_bytes(b"kept")
    assert copy_all(source, target, 2) == 0
    with in_the_middle(source, target) as process:  # it copies a, which has changed
        process.kill()
        process.wait()
    assert (target / "a.bin").read_bytes() == b"first"
    assert not (target / "b.bin").exists()
    assert sums(target) == {"c.bin": hashlib.sha256(b"kept").hexdigest()}
    (source / "b.bin").write_bytes(b"second")
    assert copy_all(source, target, 2) == 0
    assert sums(target) == expected_sums(source)
