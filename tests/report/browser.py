"""A real browser for the tests of pages: opens them from the disk, without the network, and says what went wrong.

`conftest.py` makes these fixtures known to all tests here:

    def test_it(open_page, folder):
        opened = open_page(folder / "report" / "index.html", width=360)
        opened.page.click("text=Accuracy")

At its end a test fails if a page it opened wrote an error to its console, had an exception that nobody caught,
or asked for anything outside the folder it lies in.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  const cuts = (e) => ["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX);
  const scrolls = (e) => e && (cuts(e) || scrolls(e.parentElement));
  return [...document.querySelectorAll("body *")]
    .filter((e) => !e.closest("svg svg, svg *") && e.getBoundingClientRect().right > width + 1)
    .filter((e) => e.getBoundingClientRect().width > 1 && !scrolls(e.parentElement))
    .map((e) => `${e.tagName}.${e.className} ${(e.textContent || "").trim().slice(0, 40)}`);
}"""


@dataclass
class Opened:
    """A page that is open in a browser.

    Attributes:
        folder: what the page may read.
        errors: what it wrote to its console as an error, and exceptions that nobody caught.
        requests: files it read, as paths below `folder`, in order.
        outside: addresses it asked for and did not get, because they are not below `folder`.
    """

    page: Page
    folder: Path
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    @property
    def bytes_read(self) -> int:
        """The sizes of all files it read."""
        files = [self.folder / name for name in set(self.requests)]
        return sum(file.stat().st_size for file in files if file.is_file())

    @property
    def overflow(self) -> list[str]:
        """What sticks out of the page to the right, besides what scrolls by itself; empty if nothing does."""
        found: list[str] = self.page.evaluate(OVERFLOW)
        inner, outer = self.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        return found + ([f"the page is {inner} px wide, of {outer} px"] if inner > outer else [])

    def see(self, route: Route) -> None:
        """Let the page have what lies in its folder, and nothing else."""
        address = urlsplit(route.request.url)
        if address.scheme in {"data", "blob"}:
            return route.continue_()
        path = Path(unquote(address.path))
        if address.scheme == "file" and path.resolve().is_relative_to(self.folder):
            self.requests.append(str(path.resolve().relative_to(self.folder)))
            return route.continue_()
        self.outside.append(route.request.url)
        return route.abort()

    def hear(self, message: ConsoleMessage) -> None:
        """Keep what the console shows as an error."""
        if message.type in {"error", "assert"}:
            self.errors.append(message.text)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start the system's chromium once for the tests of a file; skip them where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no {', '.join(NAMES)} to open pages with")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Opened]]:
    """Return `open_page(index, fragment="", *, folder=None, width=1280, height=900, scheme="light", …) -> Opened`.

    `folder` is what the page may read: that of the page itself, if not told. Further arguments go to
    Playwright's `new_context`, such as `has_touch=True` or `java_script_enabled=False`.
    """
    all_opened: list[Opened] = []

    def open_one(
        index: Path,
        fragment: str = "",
        *,
        folder: Path | None = None,
        width: int = 1280,
        height: int = 900,
        scheme: str = "light",
        **options: object,
    ) -> Opened:
        size = {"width": width, "height": height}
        context = chromium.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", **options)
        context.set_default_timeout(10_000)
        opened = Opened(context.new_page(), (folder or index.parent).resolve())
        all_opened.append(opened)
        context.route("**/*", opened.see)
        opened.page.on("console", opened.hear)
        opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
        opened.page.goto(index.resolve().as_uri() + fragment)
        return opened

    yield open_one
    for opened in all_opened:
        opened.page.context.close()
    assert [opened.errors for opened in all_opened if opened.errors] == []
    assert [opened.outside for opened in all_opened if opened.outside] == []
