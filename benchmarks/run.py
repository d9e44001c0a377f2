"""Speed and memory beside other ways and beside the limits of the machine: `python benchmarks/run.py [name …]`.

Every benchmark runs in a process of its own. A target that does not hold is said, and is no error: clocks on
shared machines are no judges. Computing is timed on one thread as CPU time, since that repeats; wall clock
on all processors is given beside it and called so.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from table import HEADINGS, Row, markdown

BENCHMARKS = (
    "mask", "selection", "scores", "allocation", "compaction", "images", "waiting", "probe", "mis", "dissection",
    "explanations", "store", "study", "rewinding", "report", "survey", "startup",
)  # fmt: skip


def machine() -> str:
    """Return one line on what the figures were measured on, and whether it was busy."""
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{_processor()}, {os.cpu_count()} processors, {torch.get_num_threads()} threads where not said, "
        f"{platform.system()}, Python {platform.python_version()}, torch {torch.__version__}{load}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def rows_of(benchmark: str) -> list[Row]:
    rows: list[Row] = importlib.import_module(benchmark).rows()
    return rows


def show(console: Console, benchmark: str, rows: list[Row]) -> None:
    table = Table(*HEADINGS, title=benchmark, title_justify="left")
    for row in rows:
        table.add_row(*row.cells(), style="bold red" if row.holds is False else None)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--data", type=Path, help="folder that holds imagenette128")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there as Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as JSON")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; known: {', '.join(BENCHMARKS)}")
    if given.data:
        os.environ["PRUNESCOPE_TEST_DATA"] = str(given.data.resolve())
    console, about = Console(highlight=False), machine()
    if not console.is_terminal:
        console.width = 160  # of a file or a pipe, whose width nobody knows
    console.print(about)
    found: dict[str, list[Row]] = {}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for name in given.names or BENCHMARKS:
            found[name] = pool.submit(rows_of, name).result()
            show(console, name, found[name])
    missed = [f"{name}: {row.name}" for name, rows in found.items() for row in rows if row.holds is False]
    console.print(f"{len(missed)} targets do not hold" if missed else "all targets hold")
    for miss in missed:
        console.print(f"  {miss}")
    if given.markdown:
        given.markdown.write_text(markdown(about, found), encoding="utf-8")
    if given.json:
        content = {
            "machine": about,
            "benchmarks": {name: [r.as_json() for r in rows] for name, rows in found.items()},
        }
        given.json.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
