"""The page's own files: every word is there and used, nothing comes from elsewhere, and nothing becomes markup."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

SURVEY = Path(__file__).parents[2] / "src/prunescope/survey"
PAGE = SURVEY / "page"
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGE.glob("*.js"))}
WORDS = yaml.safe_load((SURVEY / "designs/words.en.yaml").read_text(encoding="utf-8"))
MARKUP = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://|\bimport\("
BY_THE_SERVER = {"dont_know"}  # the label of an answer


def test_all_words_are_there_and_all_are_used():
    calls = [call for text in SCRIPTS.values() for call in re.findall(r"\bsay\(([^)]*)", text)]
    said = {key for call in calls for key in re.findall(r'^"(\w+)"', call)}
    assert len([call for call in calls if call.startswith('"')]) == len(calls), "every key is written out"
    assert said == set(WORDS) - BY_THE_SERVER


def test_places_in_words_are_those_that_the_page_fills():
    given = {name for text in SCRIPTS.values() for name in re.findall(r"say\(\"\w+\", \{([^}]*)\}", text)}
    given |= {names for text in SCRIPTS.values() for names in re.findall(r"const values = \{([^}]*)\}", text)}
    names = {name for one in given for name in re.findall(r"(\w+)(?=[,:}]|\s*$)", one)}
    assert {name for word in WORDS.values() for name in re.findall(r"\{(\w+)\}", word)} <= names


def test_nothing_comes_from_elsewhere_and_nothing_becomes_markup():
    for name, text in SCRIPTS.items():
        assert not re.search(MARKUP, text), name
    for name in ("index.html", "researcher.html", "survey.css", "researcher.css"):
        text = (PAGE / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|//\w|style=|\son\w+=|@import|@font-face|<style|url\(", text), name


@pytest.mark.parametrize("page", ["index.html", "researcher.html"])
def test_every_script_is_reached_from_a_page(page):
    text = (PAGE / page).read_text(encoding="utf-8")
    files = re.findall(r'(?:src|href)="page/([^"]+)"', text)
    assert all((PAGE / name).is_file() for name in files), "run `make survey`"
    todo, reached = [name for name in files if name in SCRIPTS], set()
    while todo:
        name = todo.pop()
        reached.add(name)
        todo += [one for one in re.findall(r'from "\./([\w.]+)"', SCRIPTS[name]) if one not in reached]
    if page == "index.html":
        assert reached == set(SCRIPTS) - {"researcher.js"}
    else:
        assert reached == {"researcher.js", "elements.js", "server.js"}


def test_what_npm_fetches_is_locked_by_hash_and_by_no_host():
    own = json.loads((SURVEY / "npm/package.json").read_text())
    lock = json.loads((SURVEY / "npm/package-lock.json").read_text())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert own["dependencies"] == {"jspsych": "8.3.0"}
    assert packages["node_modules/jspsych"]["version"] == "8.3.0"
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert all("resolved" not in one for one in packages.values())


def test_what_is_bundled_is_jspsych_with_its_licences_and_asks_nobody():
    script = (PAGE / "jspsych/jspsych.js").read_text(encoding="utf-8")
    licences = (PAGE / "jspsych/LICENSES.txt").read_text(encoding="utf-8")
    assert "initJsPsych" in script
    assert '"8.3.0"' in script
    assert "sourceMappingURL" not in script
    for name in (
        "jspsych 8.3.0",
        "de Leeuw",
        "auto-bind",
        "Sorhus",
        "random-words",
        "Apostrophe",
        "seedrandom",
        "Bau",
    ):
        assert name in licences
    assert licences.count("WITHOUT WARRANTY OF ANY KIND") == 4
