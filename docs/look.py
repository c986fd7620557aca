"""Look at the built site in a browser: `nox -s look`, after `nox -s docs`.

Each page is opened at the width of a desktop and of a phone, light and dark. Nothing may stick out
of it: a wide table or a long line of code scrolls by itself. Text has to stand out from what is
behind it, in diagrams and tables too. Then the site's search is asked as a reader would.
`--shots FOLDER` keeps a picture of each page. It needs chromium and chromedriver.
"""

from __future__ import annotations

import functools
import http.server
import importlib
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

SITE = Path(__file__).parent / "_build/html"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
ASKED = ("timeout", "exception", "cancel")
PATIENCE = 60  # seconds for a page on a busy machine

# What is wider than the window, and what sticks out without a box around it that scrolls.
MEASURE = """
const wide = document.documentElement.scrollWidth, most = document.documentElement.clientWidth;
const scrolls = element => {
  for (let box = element.parentElement; box && box !== document.body; box = box.parentElement)
    if (getComputedStyle(box).overflowX !== "visible") return true;
  return false;
};
const out = [...document.querySelectorAll("article *")].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width && box.right > most + 1 && !scrolls(element);
});
return [wide, most, out.slice(0, 3).map(element => element.outerHTML.slice(0, 90))];
"""

# The least contrast of a text of a table or a diagram with the page behind it (WCAG 2.1).
CONTRAST = """
const light = colour => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const back = light(getComputedStyle(document.body).backgroundColor);
const ratios = [...document.querySelectorAll(".diagram text, article td, article p")].map(text => {
  const style = getComputedStyle(text);
  const front = light(text.closest("svg") ? style.fill : style.color);
  return (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
});
return Math.min(21, ...ratios);
"""

ENOUGH = 4.5  # what WCAG asks for


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve the site, and say nothing."""

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


def browser(profile: str) -> Any:
    """Start a browser without a window."""
    webdriver: Any = importlib.import_module("selenium.webdriver")
    service: Any = importlib.import_module("selenium.webdriver.chrome.service")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(option)
    driver = webdriver.Chrome(options, service.Service(shutil.which("chromedriver")))
    driver.set_page_load_timeout(PATIENCE)
    return driver


def show(driver: Any, size: tuple[int, int], scheme: str) -> None:
    """Give the browser a window of a size, and a reader who likes it light or dark."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def faults(driver: Any, url: str) -> Iterator[str]:
    """Open a page, and tell what cannot be read."""
    driver.get(url)
    wide, most, out = driver.execute_script(MEASURE)
    if wide > most:
        yield f"is {wide} pixels wide, and the window {most}"
    for element in out:
        yield f"sticks out: {element}"
    contrast = driver.execute_script(CONTRAST)
    if contrast < ENOUGH:
        yield f"has text with a contrast of {contrast:.1f}"


def found(driver: Any, url: str, word: str) -> list[str]:
    """Ask the search of the site; return the titles that it shows."""
    wait: Any = importlib.import_module("selenium.webdriver.support.ui")
    driver.get(f"{url}/search.html?q={word}")
    done = "return document.querySelectorAll('#search-results ul.search li a').length"

    def has_results(here: Any) -> object:
        return here.execute_script(done)

    wait.WebDriverWait(driver, PATIENCE).until(has_results)
    links = "return [...document.querySelectorAll('#search-results li > a')].map(a => a.text)"
    return [str(title) for title in driver.execute_script(links)]


def keep(driver: Any, folder: str | None, name: str) -> None:
    """Write a picture of the page, from top to bottom."""
    if folder is not None:
        height = driver.execute_script("return document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "height": min(height, 6000), "scale": 1}
        clip["width"] = driver.execute_script("return document.documentElement.clientWidth")
        asked = {"captureBeyondViewport": True, "clip": clip}
        import base64  # noqa: PLC0415  only for pictures

        picture = driver.execute_cdp_cmd("Page.captureScreenshot", asked)["data"]
        Path(folder, f"{name}.png").write_bytes(base64.b64decode(picture))


def look(driver: Any, url: str, folder: str | None) -> Iterator[str]:
    """Look at every page in every way, and ask the search."""
    pages = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    pages = [page for page in pages if not page.startswith(("_", "genindex", "search", "py-"))]
    for way, size in SIZES.items():
        for scheme in SCHEMES:
            show(driver, size, scheme)
            for page in pages:
                for fault in faults(driver, f"{url}/{page}"):
                    yield f"{page}, {way}, {scheme}: {fault}"
                keep(driver, folder, f"{page.replace('/', '-')}-{way}-{scheme}")
    for word in ASKED:
        titles = found(driver, url, word)
        print(f"search for {word!r}: {len(titles)} answers, first {titles[:3]}")
        if not titles:
            yield f"the search finds nothing for {word!r}"
    print(f"looked at {len(pages)} pages in {len(SIZES) * len(SCHEMES)} ways")


def main() -> None:
    """Exit with an error that lists what cannot be read."""
    if not (SITE / "index.html").exists():
        sys.exit(f"there is no site in {SITE}: build it first, with `nox -s docs`")
    folder = sys.argv[2] if sys.argv[1:2] == ["--shots"] else None
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    handler = functools.partial(Quiet, directory=str(SITE))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        driver = browser(profile)
        try:
            wrong = list(look(driver, f"http://127.0.0.1:{server.server_port}", folder))
        finally:
            driver.quit()
            server.shutdown()
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
