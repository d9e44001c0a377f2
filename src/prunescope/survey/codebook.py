"""What every column of the exported tables holds: how the tables are made, and what lies beside them for readers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from prunescope.survey.design import Design

TYPES = {"text": "string", "integer": "Int64", "number": "float64", "yes or no": "boolean"}


class Column(NamedTuple):
    """A column of an exported table.

    Attributes:
        type: one of `TYPES`.
        meaning: in words.
        unit: what a number counts or is measured in.
        values: those that there can be.
    """

    type: str
    meaning: str
    unit: str = ""
    values: str = ""


YES_NO = "True, False"
_WHO = {
    "participant": Column("text", "The participant: a random name that says nothing about the person."),
    "simulated": Column("yes or no", "Whether the participant is a simulation, not a person.", "", YES_NO),
}
_EXPERIMENT = {
    "experiment": Column("text", "What was asked.", "", "mis, pairwise, identification"),
}
_VOTES = {
    **_EXPERIMENT,
    "stimulus": Column("text", "What was shown.", "", "units, heat map, explanation map"),
    **_WHO,
    "task": Column("text", "The task, as the experiment calls it."),
    "condition": Column(
        "text", "What tasks are balanced over: the network; of a pair, “less pruned | more pruned”."
    ),
    "item": Column("text", "What was judged, as shown; the same text is the same thing on the same sides."),
    "position": Column("integer", "Place among the trials as shown; in the main part, catch trials count.", "from 0"),
    "flipped": Column(
        "yes or no",
        "Whether sides were swapped. Pairwise: the less pruned network was on the right. MIS: the query that fits the "
        "group on the right was below.",
        "",
        YES_NO,
    ),
    "answer": Column(
        "text",
        "What was answered.",
        "",
        "pairwise: left, right, equal; mis: top, bottom; identification: a class, or don't know",
    ),
    "chosen": Column(
        "text",
        "What that means. Pairwise: the network chosen, empty for equal. MIS: which query, positive being the one that "
        "fits the group on the right. Identification: the class named, empty for don't know.",
    ),
    "correct": Column(
        "yes or no", "Whether the answer is right; missing where none is wrong (pairwise).", "", YES_NO
    ),
    "confidence": Column("integer", "How sure, if that is asked.", "levels, from 1 (not confident)"),
    "rt_ms": Column("number", "From the task's appearance to the answer, by the page's clock.", "milliseconds"),
    "image": Column("text", "The image (pairwise, identification)."),
    "class": Column("text", "The class of the image."),
    "left": Column("text", "Pairwise: the network whose explanation was on the left."),
    "right": Column("text", "Pairwise: the network whose explanation was on the right."),
    "network": Column("text", "MIS and identification: the network that was asked about."),
    "layer": Column("text", "MIS: the layer of the unit."),
    "unit": Column("integer", "MIS: the unit.", "from 0"),
    "unit_task": Column("integer", "MIS: which of the tasks of that unit.", "from 0"),
    "margin": Column("number", "MIS: how clearly the similarity solves the task; below 0 it is wrong.", "similarity"),
}  # fmt: skip
_ANSWERS = {
    **_VOTES,
    "phase": Column("text", "Practice, or the main part.", "", "practice, main"),
    "role": Column("text", "What the task is for.", "", "main, catch, practice"),
    "round": Column("integer", "Practice: which round of it; main: as the server counts.", "from 1"),
    "right_answer": Column("text", "The answer that would be right, as shown; missing where none is wrong."),
    "received": Column("number", "When the server had it on disk.", "seconds since 1970 (UTC)"),
    "excluded": Column(
        "yes or no", "Whether the participant's answers are left out; see participants.", "", YES_NO
    ),
}
_PARTICIPANTS = {
    **_EXPERIMENT,
    **_WHO,
    "number": Column("integer", "In the order of joining.", "from 1"),
    "list": Column("integer", "Which list of tasks was dealt.", "from 0"),
    "platform": Column("text", "Where the participant came from.", "", "prolific, mturk, direct"),
    "answers": Column("integer", "Answers to the main part, catch trials among them.", "answers"),
    "finished": Column("yes or no", "Whether all trials of the main part are answered.", "", YES_NO),
    "left": Column(
        "yes or no", "Whether the place went to someone else, after a long silence.", "", YES_NO
    ),
    "catch_trials": Column("integer", "Catch trials answered.", "trials"),
    "catch_right": Column("number", "Share of them that is right; rule “catch”.", "share"),
    "total_s": Column(
        "number", "From consent to the last main answer, by the page's clock; rule “total_s”.", "seconds"
    ),
    "total_server_s": Column(
        "number", "The same by the server's clock, breaks and all; rule “total_s”.", "seconds"
    ),
    "instructions_s": Column("number", "For the instructions, by the page's clock; rule “instructions_s”.", "seconds"),
    "before_tasks_s": Column(
        "number", "From consent to the first answer, by the server's clock; rule “instructions_s”.", "seconds"
    ),
    "rarer": Column(
        "integer",
        "Answers for the side chosen less often, of left and right or of top and bottom; rule “rarer”. Missing where "
        "answers are no sides (identification).",
        "answers",
    ),
    "practice_rounds": Column("integer", "Rounds of practice; rule “practice_rounds”.", "rounds"),
    "median_rt_ms": Column("number", "Median time of the answers to the main part.", "milliseconds"),
    "blurs": Column("integer", "How often the window lost the focus.", "events"),
    "fullscreen_exits": Column("integer", "How often the full screen was left.", "events"),
    "excluded": Column("yes or no", "Whether the answers are left out of votes.", "", YES_NO),
    "rules": Column(
        "text",
        "The rules that say so, with spaces between.",
        "",
        "unfinished, catch, total_s, instructions_s, rarer, practice_rounds",
    ),
    "why": Column("text", "The same in words, with the measured value and the bound; empty if kept."),
}  # fmt: skip
PLAIN = {  # only where the design keeps ids of platforms as they are
    "platform_participant": Column("text", "The platform's id of the participant. Personal data."),
    "platform_study": Column("text", "The platform's id of the study."),
}
_RECEIVED = {"received": _ANSWERS["received"]}
_EVENTS = {
    **_EXPERIMENT,
    **_WHO,
    "kind": Column(
        "text",
        "What happened in the browser.",
        "",
        "blur, focus, fullscreen_enter, fullscreen_exit, resize, offline, online, reload, hidden, visible",
    ),
    "elapsed_ms": Column("number", "Since consent, by the page's clock.", "milliseconds"),
    "detail": Column("text", "More about it, such as the size of the window."),
    **_RECEIVED,
}
_QUESTIONS = {
    **_EXPERIMENT,
    **_WHO,
    "question": Column("text", "The question, by its id in the design."),
    "answer": Column("text", "What was typed or chosen."),
    "number": Column("number", "The same as a number, if the question asks for one."),
    **_RECEIVED,
}
TABLES: Mapping[str, Mapping[str, Column]] = {
    "votes": _VOTES,
    "participants": _PARTICIPANTS,
    "answers": _ANSWERS,
    "questions": _QUESTIONS,
    "events": _EVENTS,
}
ABOUT = {
    "votes": "One row an answer to a task of the main part, of the participants who are not excluded.",
    "participants": "One row a participant, also excluded ones, with what the rules of exclusion look at.",
    "answers": "One row an answer: practice, catch trials and main part, also of excluded participants.",
    "questions": "One row an answer to a question beside the tasks.",
    "events": "One row an event of a participant's browser.",
}


def columns_of(table: str, design: Design) -> dict[str, Column]:
    """Return the columns of a table by name, in their order."""
    plain = PLAIN if table == "participants" and design.platform.store_ids == "plain" else {}
    return {**TABLES[table], **plain}


def typed(table: str, rows: Sequence[Mapping[str, Any]] | pd.DataFrame, design: Design) -> pd.DataFrame:
    """Return rows as a table of exactly the columns that the codebook has, also if there are none."""
    columns = columns_of(table, design)
    types = {name: TYPES[column.type] for name, column in columns.items()}
    return pd.DataFrame(rows).reindex(columns=list(columns)).astype(types).reset_index(drop=True)


def codebook(design: Design) -> pd.DataFrame:
    """Return one row per table and column: `table, column, type, unit, meaning, values`."""
    rows = [
        {"table": table, "column": name, **column._asdict()}
        for table in TABLES
        for name, column in columns_of(table, design).items()
    ]
    return pd.DataFrame(rows)[["table", "column", "type", "unit", "meaning", "values"]]


def codebook_text(design: Design, title: str) -> str:
    """Return the codebook as Markdown, with the rules of exclusion."""
    rules = [f"- {name}: {bound}" for name, bound in design.exclusion.model_dump(mode="json").items()]
    parts = [
        f"# Codebook: {_line(title)}",
        "All tables are there as CSV (UTF-8) and as Parquet. In CSV, a text that a spreadsheet would run as a formula "
        "has an apostrophe before it, and what is missing is empty. Simulated participants are marked in every table; "
        "who withdrew is in none.",
        "## Rules of exclusion",
        "A participant is excluded who has not answered all of the main part, or who breaks one of these rules of the "
        "design (null: not applied). Who is too fast or too slow is so by the page's clock and by the server's.",
        "\n".join(rules),
    ]
    for table, about in ABOUT.items():
        parts += [f"## {table}", about, _markdown(columns_of(table, design).items())]
    return "\n\n".join(parts) + "\n"


def _markdown(columns: Iterable[tuple[str, Column]]) -> str:
    head = ["column", "type", "unit", "meaning", "values"]
    rows = [
        [f"`{name}`", column.type, column.unit, column.meaning, column.values] for name, column in columns
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_line(cell) for cell in line) + " |" for line in lines)


def _line(text: str) -> str:
    """Keep a text on its line and in its cell."""
    return " ".join(text.split()).replace("|", "\\|")
