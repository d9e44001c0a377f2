"""A participant with a real browser: opens the page of a real server, and does what people do.

The truth is computed here, from the experiment and the seed in the database; the page does not know it.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from made_experiment import made_experiment
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from served import Served, served

from prunescope.survey.experiment import Experiment, read_experiment
from prunescope.survey.trials import Trial, answers_of, practice_of, trials_of

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
OPEN = ".answer[aria-disabled=false]"
PROLIFIC = "?PROLIFIC_PID={0}&STUDY_ID=study&SESSION_ID=session-of-{0}"


@dataclass
class Visit:
    """One participant's browser on one study.

    Attributes:
        given: what was answered in the main part, in order: (answer, confidence).
        errors: what the console showed as an error, and exceptions that nobody caught.
        strangers: requests to anyone but the server.
    """

    context: BrowserContext
    server: Served
    experiment: Experiment
    page: Page
    given: list[tuple[str, int | None]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> Page:
        """Hear what a page says and asks for."""
        page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._see(request.url))
        return page

    def _see(self, address: str) -> None:
        if not address.startswith((f"{self.server.address}/", f"blob:{self.server.address}/")):
            self.strangers.append(address)

    def open(self, query: str = "") -> Visit:
        """Open the study."""
        self.page.goto(f"{self.server.address}/{query}")
        return self

    def heading(self, text: str) -> None:
        """Wait for a step, and see that it has the focus."""
        self.page.get_by_role("heading", level=1, name=text).wait_for()

    def press(self, name: str) -> None:
        """Press a button by its name."""
        self.page.get_by_role("button", name=name).click()

    def look(self, stage: str) -> None:
        """Have axe look at what is there; nothing may be wrong, and nothing stick out to the side."""
        found = Axe().run(self.page)
        assert found.violations_count == 0, f"{stage}: {found.generate_report()}"
        inner, outer = self.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert inner <= outer, f"{stage} is {inner} px wide, of {outer} px"
        self.checked.append(stage)

    def join(self) -> Visit:
        """Agree, and read the instructions."""
        self.press("I agree and take part")
        self.heading("Instructions")
        while self.page.get_by_role("button", name="Next").count():
            self.press("Next")
        self.press("Go to the practice tasks")
        return self

    def row(self) -> dict[str, Any]:
        """What the database has of the one who joined last."""
        [row] = self.ask("SELECT * FROM participants ORDER BY number DESC LIMIT 1")
        return row

    def ask(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Ask the database; it is only read."""
        address = f"file:{self.server.folder / 'answers.sqlite'}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query, values)]

    def trials(self) -> list[Trial]:
        """The main part, as this participant sees it."""
        row = self.row()
        return trials_of(self.experiment, row["list"], row["seed"])

    def practice(self, round_: int = 1) -> list[Trial]:
        """A round of practice, as this participant sees it."""
        return practice_of(self.experiment, self.row()["seed"], round_)

    def choose(self, answer: str, level: int = 2) -> None:
        """Answer the task on the page with the mouse."""
        self.page.wait_for_selector(OPEN)
        self.button(answer, level).click()

    def button(self, answer: str, level: int = 2) -> Any:
        """The button of an answer: in the order of the answers, and of the levels within."""
        index = [one.value for one in answers_of(self.experiment)].index(answer)
        if self.experiment.design.confidence > 1:
            return self.page.locator(".confidence").nth(index).locator(".answer").nth(level - 1)
        return self.page.locator(".answer").nth(index)

    def other(self, answer: str | None) -> str:
        """An answer that is not this one."""
        return next(one.value for one in answers_of(self.experiment) if one.value != answer)

    def practise(self, round_: int = 1) -> Visit:
        """Answer a round of practice rightly, and begin the main part."""
        for trial in self.practice(round_):
            self.choose(str(trial.right))
            self.page.locator(".feedback.right button").click()
        self.press("Begin")
        return self

    def answer(self, count: int | None = None) -> Visit:
        """Answer so many tasks of the main part, or all that are left; catch trials rightly."""
        trials = self.trials()
        end = len(trials) if count is None else len(self.given) + count
        for position in range(len(self.given), end):
            self.at(position)
            trial = trials[position]
            answer = trial.right or self.other(None)
            level = 1 + position % self.experiment.design.confidence
            self.choose(answer, level)
            self.given.append((answer, level if self.experiment.design.confidence > 1 else None))
        return self

    def at(self, position: int) -> None:
        """Wait for a task of the main part."""
        total = len(self.experiment.tasks_of_list[0])
        said = f"Task {position + 1} of {total}"
        shown = f"document.getElementById('progress-text').textContent === '{said}'"
        self.until(f"{shown} && document.querySelector('{OPEN}')")

    def until(self, condition: str, seconds: float = 20) -> None:
        """Wait until an expression is true; the page's content policy keeps Playwright's own way out."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < end, f"not within {seconds} s: {condition}"
            self.page.wait_for_timeout(20)

    def sent(self) -> None:
        """Wait until nothing is on its way."""
        self.until("document.getElementById('status').dataset.unsent === '0'", 40)

    def stored(self) -> list[tuple[str, int | None]]:
        """The main part's answers in the database, in order."""
        rows = self.ask(
            "SELECT answer, confidence FROM answers WHERE participant = ? AND phase = 'main' ORDER BY position",
            self.row()["participant"],
        )
        return [(row["answer"], row["confidence"]) for row in rows]

    def finish(self) -> str:
        """Wait for the end, see that all that was given is in the database, and return the code."""
        self.heading("Thank you")
        assert self.stored() == self.given
        assert len(self.given) == len(self.trials())
        assert self.row()["stage"] == "done"
        return self.page.locator(".code").inner_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the system's chromium once for the tests of a file; skip them where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no {', '.join(NAMES)} to open pages with")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """Return `study(kind, name="", **changes) -> Served`: a server of a small experiment; one for each name."""
    running: dict[str, Any] = {}
    contexts = []

    def serve(kind: str, name: str = "", **changes: Any) -> Served:
        if kind + name not in running:
            folder = tmp_path_factory.mktemp("study") / f"{kind}{name}"
            made_experiment(folder, kind, **{"answers_per_task": 4} | changes)
            contexts.append(served(folder))
            running[kind + name] = contexts[-1].__enter__()
        server: Served = running[kind + name]
        return server

    yield serve
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Return `visit(server, **options) -> Visit`; options are those of Playwright's `new_context`.

    At its end a test fails if a page of it wrote an error or asked anyone but its server for anything; `expects_errors`
    is for tests in which the connection goes.
    """
    visits: list[tuple[Visit, bool]] = []

    def open_one(server: Served, *, expects_errors: bool = False, **options: Any) -> Visit:
        size = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"}
        context = browser.new_context(**size | options)
        context.set_default_timeout(20_000)
        visit = Visit(context, server, read_experiment(server.folder), context.new_page())
        context.on("page", visit.watch)
        visit.watch(visit.page)
        visits.append((visit, expects_errors))
        return visit

    yield open_one
    for visit, _ in visits:
        visit.context.close()
    heard = [(error, expects) for visit, expects in visits for error in visit.errors]
    unexpected = [error for error, expects in heard if not expects or "net::" not in error]
    assert unexpected == []
    assert [visit.strangers for visit, _ in visits if visit.strangers] == []
