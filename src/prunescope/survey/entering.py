"""Entering: consent, a place, a session; who comes back from a platform goes on where they were."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import Connection, insert, select

from prunescope.survey.assignment import PAUSED, assign, is_paused
from prunescope.survey.design import Design
from prunescope.survey.experiment import Experiment
from prunescope.survey.messages import GivenParticipant, GivenPlatform
from prunescope.survey.participants import Participant, change, new_row, next_number, participant_of
from prunescope.survey.security import PlatformIds, digest, new_token
from prunescope.survey.storage import participants
from prunescope.survey.writer import Refused

PREVIEW = "ASSIGNMENT_ID_NOT_AVAILABLE"  # what Mechanical Turk calls the session of someone who only looks


@dataclass(frozen=True)
class Entrance:
    """Who entered, and the token of the new session."""

    participant: Participant
    token: str


def enter(
    connection: Connection, experiment: Experiment, ids: PlatformIds, given: GivenParticipant, now: float
) -> Entrance:
    """Let someone in, or in again: the same participant of a platform in the same session of it goes on.

    Raises:
        Refused: paused, complete, all places taken, a second try of the same participant, or only a preview.
    """
    design, platform, token = experiment.design, given.platform, new_token()
    if platform.session == PREVIEW:
        raise Refused(409, "This is a preview: please accept the task first.")
    kept = {
        "platform": platform.name,
        "platform_participant": ids.participant(platform.name, platform.participant),
        "platform_study": ids.study(platform.study),
        "platform_session": ids.session(platform.name, platform.session),
        "submit_to": _submit_to(design, platform),
        "session_hash": digest(token),
    }
    known = _known(connection, platform.name, kept["platform_participant"], given.simulated)
    if known is not None:
        if known.platform_session != kept["platform_session"]:
            raise Refused(
                409, "You have taken part in this study already. Thank you! One time is all we may ask for."
            )
        again = {"session_hash": kept["session_hash"], "submit_to": kept["submit_to"] or known.submit_to}
        return Entrance(change(connection, known, now, **again), token)
    if is_paused(connection):
        raise Refused(503, PAUSED, retry_after=60)
    list_ = assign(connection, experiment, given.simulated, now)
    row = new_row(next_number(connection), list_, design, now, simulated=given.simulated, **kept)
    connection.execute(insert(participants).values(**row))
    return Entrance(Participant(**row), token)


def _known(connection: Connection, platform: str, id_: str | None, simulated: bool) -> Participant | None:
    if id_ is None:
        return None
    same = (
        participants.c.platform == platform,
        participants.c.platform_participant == id_,
        participants.c.simulated.is_(simulated),
    )
    row = connection.execute(select(participants).where(*same)).one_or_none()
    return None if row is None else participant_of(row)


def _submit_to(design: Design, platform: GivenPlatform) -> str | None:
    """Return where a form of Mechanical Turk goes: scheme and host, which have to be known ones."""
    if platform.name != "mturk" or platform.submit_to is None:
        return None
    try:
        parts = urlsplit(platform.submit_to)
        known = parts.scheme == "https" and parts.netloc in design.platform.mturk_hosts
    except ValueError:
        known = False
    if not known:
        raise Refused(422, "This study cannot be handed in there: please open it from Mechanical Turk again.")
    return f"https://{parts.netloc}"
