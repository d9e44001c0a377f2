import csv
import io

import pandas as pd
import pytest
from synthetic import SERIES, write_study

from prunescope.analysis.csv_text import csv_text
from prunescope.analysis.findings import COLUMNS, Finding
from prunescope.report.findings import FILE, MOST_OF_ONE, MOST_TOLD, conclusions, findings_section
from prunescope.report.page import write_report

HOSTILE = '=HYPERLINK("x")<script>alert(1)</script>'


def finding(question="trend", weight=0.0, **more):
    given = {
        "measure": "top1",
        "about": "filters",
        "estimate": -0.25,
        "sentence": f"A {question}.",
        "method": "m",
    }
    return Finding(question, **(given | {"verdict": "shown", "weight": weight} | more))


def test_the_first_screen_tells_the_weightiest_two_of_each_question():
    given = [
        *[finding("trend", weight, sentence=f"trend {weight}") for weight in (1, 4, 2)],
        finding("difference", 3, sentence="difference", figure="top1-by-rate"),
        finding("votes", 0, sentence="not told"),
    ]
    told = conclusions(given, {"top1-by-rate"})
    assert [each.text for each in told] == ["trend 4", "difference", "trend 2"]
    assert [[(link.text, link.address) for link in each.links] for each in told] == [
        [("row", "#finding-2")],
        [("figure", "#figure-top1-by-rate"), ("row", "#finding-4")],
        [("row", "#finding-3")],
    ]


def test_the_first_screen_has_room_for_few():
    many = [finding(f"question {i}", 1 + i) for i in range(20)]
    told = conclusions(many, set())
    assert len(told) == MOST_TOLD
    assert len(conclusions([finding("trend", 1)] * 9, set())) == MOST_OF_ONE


def test_every_finding_has_a_row_with_its_address_and_its_numbers():
    given = [
        finding("correlation", measure="mis and top1", estimate=0.5),
        finding("trend", low=-0.5, high=0.125, n=1200, resampled="class", p=0.004, p_holm=0.01),
        finding("something new", margin=0.01),
    ]
    section = findings_section(given)
    titles = [table.caption.split(":")[0] for table in section.tables]
    assert titles == ["Trends with the rate, over series", "Which measures go together", "Something new"]
    assert [table.anchors for table in section.tables] == [["finding-2"], ["finding-1"], ["finding-3"]]
    [row] = section.tables[0].cells
    shown = dict(zip(section.tables[0].columns, row, strict=True))
    assert (shown["Estimate"].text, shown["Estimate"].detail) == ("−0.25", "−0.5 to 0.125, over classes")
    assert (shown["n"].text, shown["p"].text, shown["p"].detail) == ("1,200", "0.004", "Holm 0.010")
    assert "Margin" not in shown
    assert "Margin" in section.tables[2].columns
    assert findings_section([]) is None


def test_a_spreadsheet_runs_nothing_of_the_rows():
    section = findings_section([finding(about=HOSTILE, estimate=-1.5)])
    table = pd.read_csv(io.StringIO(section.files[FILE]))
    assert list(table.columns) == COLUMNS
    assert table["about"].tolist() == [f"'{HOSTILE}"]
    assert table["estimate"].tolist() == [-1.5]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1"])
def test_formulas_become_texts(text):
    table = pd.DataFrame({"text": [text, "a=1"], "number": [-1.0, 2.0]}, dtype=object).infer_objects()
    rows = list(csv.reader(io.StringIO(csv_text(table), newline="")))
    assert rows == [["text", "number"], [f"'{text}", "-1.0"], ["a=1", "2.0"]]


@pytest.mark.usefixtures("svg_alone")
def test_the_page_shows_conclusions_as_text_and_writes_the_rows(tmp_path, monkeypatch):
    given = (finding("trend", 1, about=HOSTILE, sentence=HOSTILE, figure="top1-by-rate"),)
    monkeypatch.setattr("prunescope.analysis.findings.FINDERS", (lambda results, margins: given,))
    folder = write_study(tmp_path / "s", series=SERIES[:1], rates=(0.2, 0.6), layers=2, classes=["a", "b"])
    text = write_report(folder).read_text("utf-8")
    assert "<script>alert" not in text
    assert 'href="#figure-top1-by-rate"' in text
    assert 'id="figure-top1-by-rate"' in text
    assert 'href="#finding-1"' in text
    assert 'id="finding-1"' in text
    assert (folder / "report" / FILE).read_text("utf-8").startswith("question,measure,about")
