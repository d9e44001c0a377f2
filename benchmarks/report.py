"""The report of a study of 61 networks with 8 280 units each: writing it, opening it, and exploring its units."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from table import Row

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "report"))

FIRST_VIEW, MEGABYTES, EXPLORER, FILTER = 2000.0, 10.0, 1000.0, 200.0  # milliseconds, but for the megabytes
REPEATS = 7
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
# GoogLeNet's convolutions, and a linear layer of 1000 classes.
WIDTHS = (
    64, 64, 192, 64, 96, 128, 16, 32, 32, 128, 128, 192, 32, 96, 64, 192, 96, 208, 16, 48, 64,
    160, 112, 224, 24, 64, 64, 128, 128, 256, 24, 64, 64, 112, 144, 288, 32, 64, 64, 256, 160, 320, 32, 128, 128,
    256, 160, 320, 32, 128, 128, 384, 192, 384, 48, 128, 128,
)  # fmt: skip
WRITE = """
import json, re, sys, time
from pathlib import Path
from prunescope.analysis.results import read_results
from prunescope.report.page import write_report
start = time.process_time()
write_report(Path(sys.argv[1]))
written = time.process_time()
status = Path("/proc/self/status")  # of this program alone: what getrusage says begins with the parent's
peak = int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) / 1024 if status.exists() else 0
read_results(Path(sys.argv[1]))
print(json.dumps([time.process_time() - written, written - start, peak]))
"""
# What a reader does, until it is on the screen: in the frame after the one in which it is there.
UNTIL = """() => new Promise((done) => {{
  const start = performance.now();
  const tell = () => done(performance.now() - start);
  const look = () => requestAnimationFrame(() => {there} ? requestAnimationFrame(tell) : look());
  {action};
  look();
}})"""
LIST = "#explorer-list"
SEARCH = """
  const search = document.querySelector("#explorer-choice [name=q]");
  search.value = search.value === "dog" ? "conv" : "dog";
  search.dispatchEvent(new Event("input", { bubbles: true }))
"""
OPEN = UNTIL.format(
    action="location.hash = '#explorer'", there=f"document.querySelector('{LIST} tbody tr[data-unit]')"
)
CARD = UNTIL.format(
    action=f"document.querySelector('{LIST} tbody a').click()", there="document.querySelector('#card h3')"
)
FIND = UNTIL.format(action=SEARCH, there="true")
SORT = UNTIL.format(
    action=f"document.querySelector('{LIST} thead th:nth-child(5) button').click()", there="true"
)
ACTIONS = (
    ("explorer", OPEN),
    ("card", CARD),
    ("search", FIND),
    ("sort", SORT),
    ("search", FIND),
    ("sort", SORT),
)
PAINTED = """() => {
  const [load] = performance.getEntriesByType("navigation");
  return Math.max(load.loadEventEnd, performance.getEntriesByName("first-contentful-paint")[0].startTime);
}"""


def rows() -> list[Row]:
    import synthetic  # of the tests: tables by formulas
    from synthetic_units import write_unit_study

    with tempfile.TemporaryDirectory() as folder:
        synthetic.TEST_IMAGES = 5000
        names = [f"class {number}" for number in range(1000)]
        run = Path(folder) / "run"
        write_unit_study(run, widths=WIDTHS, rates=RATES, classes=names, images=1000, layers=len(WIDTHS))
        found = _written(run)
        program = next(
            filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
        )
        return found + (_explored(run / "report", program) if program else [])


def _written(run: Path) -> list[Row]:
    told = subprocess.run([sys.executable, "-c", WRITE, run], check=True, capture_output=True, text=True)
    read, write, peak = json.loads(told.stdout.splitlines()[-1])
    given, made = _megabytes(run / "tables") + _megabytes(run / "pictures"), _megabytes(run / "report")
    memory = [Row("writing, peak memory", peak, "MiB")] if peak else []
    return [
        Row("writing, CPU time", write, "s", f"reading the tables, {read:.1f} s", write / read),
        *memory,
        Row("on the disk", made, "MB", f"tables and pictures of the run, {given:.0f} MB", made / given),
    ]


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _explored(report: Path, program: str) -> list[Row]:
    """Open the page as often as its copy without scripts, in turn, and use its explorer."""
    text = (report / "index.html").read_text("utf-8")
    still = report / "still.html"
    still.write_text(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL), "utf-8")
    times: dict[str, list[float]] = {}
    with _browser(program) as browser:
        for _ in range(REPEATS):
            for name, file in (("still", still), ("page", report / "index.html")):
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                read: set[Path] = set()
                page.on("request", lambda asked, read=read: read.add(Path(unquote(urlsplit(asked.url).path))))
                page.goto(file.as_uri(), wait_until="load")
                page.wait_for_timeout(500)
                times.setdefault(name, []).append(page.evaluate(PAINTED))
                if name == "page":
                    megabytes = sum(path.stat().st_size for path in read) / 1e6
                    for what, action in ACTIONS:
                        times.setdefault(what, []).append(page.evaluate(action))
                        page.wait_for_timeout(300)
                page.close()
    still_ms = statistics.median(times["still"])
    ms = {name: statistics.median(each) for name, each in times.items()}
    return [
        Row(
            "first view",
            ms["page"],
            "ms",
            f"the same without scripts, {still_ms:.0f} ms",
            ms["page"] / still_ms,
            FIRST_VIEW,
        ),
        Row("read for the first view", megabytes, "MB", most=MEGABYTES),
        Row("opening the unit explorer", ms["explorer"], "ms", most=EXPLORER),
        Row("searching all units", ms["search"], "ms", most=FILTER),
        Row("sorting all units", ms["sort"], "ms", most=FILTER),
        Row("opening a card", ms["card"], "ms", most=EXPLORER),
    ]


@contextmanager
def _browser(program: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
