"""Build an experiment: draw its tasks from a run, deal them to lists, and freeze all that people will see."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from prunescope.errors import PrunescopeError, did_you_mean, some
from prunescope.survey.design import Answer, Design, packaged, read_design
from prunescope.survey.drawn import Drawn, Task
from prunescope.survey.experiment import TASK_COLUMNS, Experiment, refuse_existing, write_experiment
from prunescope.survey.filled_texts import filled
from prunescope.survey.frozen_pictures import FrozenPictures
from prunescope.survey.frozen_run import frozen_run
from prunescope.survey.identification_tasks import draw_identification_tasks
from prunescope.survey.lists import deal
from prunescope.survey.pairwise_tasks import draw_pairwise_tasks
from prunescope.survey.preview import preview_page
from prunescope.survey.run_folder import RunFolder, open_run
from prunescope.survey.unit_tasks import draw_unit_tasks

DRAWN_BY = {
    "mis": draw_unit_tasks,
    "pairwise": draw_pairwise_tasks,
    "identification": draw_identification_tasks,
}
DONT_KNOW = "don't know"
KEYS = "1234567890"  # of the classes, if there are no more than these
KEY_OF_DONT_KNOW = "d"
WORDNET = re.compile(r"n\d{8}")
UNSIGNED = (
    "The consent is the packaged one, which names neither who asks, nor a contact, nor an ethics approval: add them in "
    "a design of your own before you invite anyone."
)
DECIDE = ("prunescope", "numpy", "pandas", "pyarrow", "scipy")  # packages on which draws and bytes depend


def build(
    run: Path | str,
    design: Design | Path | str,
    out: Path | str,
    *,
    names: Callable[[], Mapping[str, str]] = dict,
) -> Experiment:
    """Build an experiment from a run; the same run, design and versions give the same files.

    Args:
        run: the folder of a study that was run, `runs/<study>`.
        design: a design, a design file, or the packaged one of a kind: "mis", "pairwise", "identification".
        out: the folder to write, which is not there yet.
        names: asked what classes are called that the run knows by WordNet's numbers only, for the buttons of
            identification.

    Returns:
        The experiment as it was written.

    Raises:
        PrunescopeError: the run lacks what is to be shown, has too little of it, or is damaged; or the tasks cannot be
            dealt as the design asks; or something is at `out` already.
    """
    folder = Path(out)
    refuse_existing(folder)  # before any work
    asked = design if isinstance(design, Design) else read_design(design)
    about_consent = _about_consent(asked)
    source = open_run(Path(run))
    pictures = FrozenPictures()
    drawn = DRAWN_BY[asked.kind](source, asked, pictures)
    answered = _with_answers(asked, drawn, names)
    tasks = _table(drawn)
    roles = {role: tasks[tasks["role"] == role] for role in ("main", "catch")}
    lists = deal(drawn, roles["main"], roles["catch"], answered)
    kept = frozen_run(source, drawn)
    lengths = lists.groupby("list").size()
    labels = [answer.label for answer in answered.answers or () if answer.value in drawn.classes]
    final = filled(answered, int(lengths.max()), ", ".join(labels))
    notes = [*drawn.notes, *about_consent]
    record = _record(source, final, drawn, tasks, lists) | {"notes": notes}
    draft = Experiment(folder, final, tasks, lists, record)
    return write_experiment(
        folder, final, tasks, lists, pictures.files, record, run=kept, preview=preview_page(draft)
    )


def _about_consent(design: Design) -> list[str]:
    """Say what the consent leaves out, if it is the packaged one.

    Raises:
        PrunescopeError: it would not be true.
    """
    if design.consent != tuple(packaged(design.kind)["consent"]):
        return []
    if design.platform.store_ids == "plain":
        raise PrunescopeError(
            "platform.store_ids is plain, and the packaged consent says that platforms' numbers are kept scrambled: "
            "give the design a consent of your own (consent) that says what is kept"
        )
    asked = ["The packaged consent does not mention the questions of the design."] if design.questions else []
    return [UNSIGNED, *asked]


def _with_answers(design: Design, drawn: Drawn, names: Callable[[], Mapping[str, str]]) -> Design:
    """Return the design with the answers of identification: the classes and “don't know”, unless it has its own."""
    if design.kind != "identification":
        return design
    if design.answers is not None:
        _check_answers(design.answers, drawn.classes)
        return design
    numbers = [name for name in drawn.classes if WORDNET.fullmatch(name)]
    called = names() if numbers else {}
    unnamed = [name for name in numbers if name not in called]
    if unnamed:
        raise PrunescopeError(
            f"the run calls its classes {some(unnamed)}, which says nothing to participants: give the answers in the "
            f"design, one for each class and one for not knowing (answers: - {{value: {unnamed[0]}, label: …}} … "
            f'- {{value: "{DONT_KNOW}", label: …}})'
        )
    labels = sorted(
        ((called.get(name, name), name) for name in drawn.classes), key=lambda pair: pair[0].lower()
    )
    keys = KEYS if len(labels) <= len(KEYS) else ()
    answers = [
        Answer(value=name, label=label, keys=tuple(keys[place : place + 1]))
        for place, (label, name) in enumerate(labels)
    ]
    last = Answer(value=DONT_KNOW, label=design.words["dont_know"], keys=(KEY_OF_DONT_KNOW,) if keys else ())
    return design.model_copy(update={"answers": (*answers, last)})


def _check_answers(answers: tuple[Answer, ...], classes: list[str]) -> None:
    values = [answer.value for answer in answers]
    missing = [name for name in classes if name not in values]
    unknown = [value for value in values if value not in (*classes, DONT_KNOW)]
    if missing or unknown:
        wrong = (
            f"{unknown[0]!r} is none{did_you_mean(unknown[0], classes)}"
            if unknown
            else f"{missing[0]!r} is missing"
        )
        raise PrunescopeError(
            f"answers: expected one for each class of the run ({some(classes)}) and, if wanted, {DONT_KNOW!r}: {wrong}"
        )


def _table(drawn: Drawn) -> pd.DataFrame:
    """Return the table of all tasks; their names say nothing of what they are for."""
    rows: list[Task] = []
    for role, own in (("main", drawn.main), ("catch", drawn.catch), ("practice", drawn.practice)):
        for task in own:
            shown = json.dumps(task["pictures"])
            rows.append({**task, "task": f"t{len(rows):05d}", "role": role, "pictures": shown})
    return pd.DataFrame(rows).reindex(columns=list(TASK_COLUMNS)).astype(TASK_COLUMNS)


def _record(
    run: RunFolder, design: Design, drawn: Drawn, tasks: pd.DataFrame, lists: pd.DataFrame
) -> dict[str, Any]:
    """Say what was built from what; nothing that differs from one build to the next."""
    main = tasks[tasks["role"] == "main"]
    on_list = lists.merge(main[["task"]], on="task").groupby("list").size()
    study = str(run.study.get("study") or run.folder.name)
    return {
        "name": re.sub(r"[^A-Za-z0-9]+", "-", f"{study}-{design.kind}").strip("-"),
        "title": design.title,
        "kind": design.kind,
        "classes": drawn.classes,
        "networks": drawn.networks,
        "run": {"study": study, "title": run.study.get("title"), "files": dict(sorted(run.digests.items()))},
        "counts": {
            "tasks": {role: int(count) for role, count in tasks["role"].value_counts().items()},
            "conditions": {
                f"{condition} ({stimulus})": len(own)
                for (condition, stimulus), own in main.groupby(["condition", "stimulus"], sort=False)
            },
            "lists": len(on_list),
            "main tasks of a list": [int(on_list.min()), int(on_list.max())],
            "participants": len(on_list) * design.answers_per_task,
            "pictures": len(
                {name for text in tasks["pictures"] for names in json.loads(text).values() for name in names}
            ),
            **drawn.counts,
        },
        "seed": design.seed,
        "versions": {name: version(name) for name in DECIDE},
    }
