"""The pages of the documentation keep their word, on the interpreter that runs this.

Building the site runs their examples on one interpreter only. A page is one program here, too:
its examples share a namespace, from the first to the last.
"""

from __future__ import annotations

import doctest
import re
import threading
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
FENCE = re.compile(r"^```\{doctest\}\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
# Those that Sphinx has as its defaults.
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL | doctest.DONT_ACCEPT_TRUE_FOR_1


PAGES = [
    "tutorial.md",
    "index.md",
    "how-to/deadlines-and-cancellation.md",
    "how-to/stop-a-blocked-call.md",
    "how-to/context.md",
    "coming-from/threading.md",
    "coming-from/concurrent-futures.md",
    "coming-from/asyncio.md",
    "coming-from/threadpool.md",
    "coming-from/joblib.md",
    "questions/asyncio-or-threads.md",
    "questions/is-python-single-threaded.md",
    "questions/how-many-threads.md",
    *(f"explanation/{page.name}" for page in sorted((DOCS / "explanation").glob("*.md"))),
]


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_of_a_page_give_what_it_says(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a program of one's own: pytest's hook makes a failure of what a page does on purpose.
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    text = (DOCS / name).read_text(encoding="utf-8")
    examples = "\n".join(match["code"] for match in FENCE.finditer(text))
    test = doctest.DocTestParser().get_doctest(examples, {}, name, name, 0)
    assert len(test.examples) >= text.count("```{doctest}") > 0
    reports: list[str] = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=reports.append)
    assert result.attempted == len(test.examples)
    assert not result.failed, "".join(reports)
