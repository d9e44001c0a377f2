"""The end: a completion code, and the way back to the platform."""

from __future__ import annotations

from typing import Any

from prunescope.survey.design import Design
from prunescope.survey.participants import Participant
from prunescope.survey.writer import Refused

SUBMIT = "/mturk/externalSubmit"


def completion(design: Design, person: Participant) -> dict[str, Any]:
    """Return what a participant who is done is shown: `messages.Completion`.

    The page adds the id of the assignment, which it has from its own address, to the form of Mechanical Turk: that id
    is not kept here.

    Raises:
        Refused: the study is not done yet.
    """
    if person.stage != "done" or person.code is None:
        raise Refused(409, "The study is not done yet: not all answers are here.")
    link, submit = None, None
    if person.platform == "prolific":
        link = design.platform.prolific_link.replace("{code}", person.code)
    if person.platform == "mturk" and person.submit_to is not None:
        fields = {"participant": person.participant, "code": person.code}
        submit = {"action": person.submit_to + SUBMIT, "fields": fields}
    return {"code": person.code, "link": link, "submit": submit, "participant": person.participant}
