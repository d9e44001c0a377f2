"""How a simulated participant takes part: through the server's interface, with a queue of its own as the page has."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from prunescope.errors import PrunescopeError
from prunescope.survey.experiment import Experiment
from prunescope.survey.plain_http import PlainHttp, Reply
from prunescope.survey.simulated import Person, Shown, round_ms

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 507})  # the same request may do better later
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
BETWEEN_MS = 300.0  # from one trial to the next
RELOAD = 0.1  # so many participants load the page anew in the middle
BLUR = 0.1  # so many look at another window once
SENT = ("phase", "round", "position", "key", "answer", "confidence", "rt_ms", "elapsed_ms")
SHOWS: dict[str, dict[str, tuple[str, ...]]] = {  # from places on the page to the slots that may be there
    "mis": {
        "left": ("negative",), "right": ("positive",),
        "top": ("positive_query", "negative_query"), "bottom": ("positive_query", "negative_query"),
    },
    "pairwise": {"left": ("one", "other"), "right": ("one", "other"), "middle": ("original",)},
    "identification": {"middle": ("map",)},
}  # fmt: skip


class TurnedAwayError(PrunescopeError):
    """The server takes no more participants: it is paused or full."""


@dataclass(frozen=True)
class Sent:
    """An answer as it was sent.

    Attributes:
        key: made anew for each answer, not for each attempt to send it.
        acknowledged: the server said that it is kept.
        duplicate: what it said of whether there was one already; None where it said nothing.
        latency_s: from sending to the acknowledgement, of the attempt that succeeded.
    """

    participant: str
    phase: str
    round: int
    position: int
    key: str
    answer: str
    confidence: int | None
    rt_ms: float
    elapsed_ms: float
    acknowledged: bool = False
    duplicate: bool | None = None
    latency_s: float = float("nan")

    @property
    def trial(self) -> tuple[str, str, int, int]:
        """Participant, phase, round and position."""
        return self.participant, self.phase, self.round, self.position

    def as_json(self) -> dict[str, Any]:
        """Return what is sent."""
        own = asdict(self)
        return {name: own[name] for name in SENT}


@dataclass
class Connection:
    """Asks a server, and asks again as long as it is away or busy.

    Attributes:
        http: the server.
        patience_s: for so long one request is repeated.
        repeated: how often requests were.
    """

    http: PlainHttp
    patience_s: float = 30.0
    repeated: int = 0

    async def ask(
        self,
        method: str,
        path: str,
        token: str = "",
        headers: Mapping[str, str] | None = None,
        given: Any = None,
    ) -> Reply:
        """Send a request until there is a reply that would not change by asking again.

        Raises:
            PrunescopeError: there is none within `patience_s`.
        """
        headers = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        pause, until = FIRST_PAUSE_S, time.monotonic() + self.patience_s
        while True:
            try:
                reply = await self.http.ask(method, path, headers, given)
            except (OSError, EOFError, ValueError) as error:
                wait, why = pause, f"{type(error).__name__} {error}".strip()
            else:
                if reply.status not in AGAIN:
                    return reply
                wait = max(pause, _seconds(reply.headers.get("retry-after", "")))
                why = f"{reply.status} {_detail(reply)}"
            if time.monotonic() + wait > until:
                raise PrunescopeError(f"{method} {path}: tried for {self.patience_s:g} s, last {why}")
            self.repeated += 1
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE_S)


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else 0.0


class Recogniser:
    """Knows a task by the SHA-256 of its pictures, which is how the experiment names them."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.shows = SHOWS[experiment.design.kind]
        self.tasks: dict[tuple[str, str], set[str]] = defaultdict(set)  # slot, digest → tasks
        for name, task in experiment.task_of.items():
            for slot, files in task["pictures"].items():
                for file in files:
                    self.tasks[slot, file.partition(".")[0]].add(name)

    def candidates(self, seen: Iterable[tuple[str, str]]) -> set[str]:
        """Return the tasks that show these pictures, each a place on the page and a digest."""
        sets = [
            set().union(*(self.tasks.get((slot, digest), set()) for slot in self.shows[place]))
            for place, digest in seen
        ]
        return set.intersection(*sets) if sets else set(self.experiment.task_of)

    def shown(self, task: str, seen: Mapping[str, str]) -> Shown:
        """Return where the slots of a task are, from the digest of the first picture at each place."""
        slots = self.experiment.task_of[task]["pictures"]
        digest_of = {slot: {file.partition(".")[0] for file in files} for slot, files in slots.items()}
        place_of = {
            slot: place
            for place, digest in seen.items()
            for slot in self.shows[place]
            if digest in digest_of[slot]
        }
        return Shown(task, place_of)


@dataclass
class Visit:
    """One participant's way through an experiment.

    Attributes:
        connection: to the server.
        recogniser: knows the tasks by their pictures.
        person: who answers.
        researcher: the token with which the server takes simulated participants.
        all_pictures: fetch every picture, and not only those that tell which task it is.
        twice: so many answers are sent twice at the same time, half of them from another tab that says otherwise.
        platform: what the page's address would say of where the participant comes from.
        sent: every answer, the last state of it.
        pictures: how many were fetched.
        completion: what the server says at the end: the code, and where to go.
    """

    connection: Connection
    recogniser: Recogniser
    person: Person
    researcher: str
    all_pictures: bool = False
    twice: float = 0.0
    platform: Mapping[str, str | None] = field(default_factory=lambda: {"name": "direct"})
    tell: Callable[[Sent], None] = lambda sent: None
    participant: str = ""
    token: str = ""
    elapsed_ms: float = 0.0
    sent: list[Sent] = field(default_factory=list)
    pictures: int = 0
    finished: bool = False
    left: bool = False
    completion: Mapping[str, Any] = field(default_factory=dict)

    async def begin(self) -> None:
        """Agree, answer what is asked before, and read the instructions.

        Raises:
            TurnedAwayError: the experiment is paused or full.
        """
        rest = {"participant": None, "study": None, "session": None, "submit_to": None}
        response = await self.connection.ask(
            "POST",
            "/api/participants",
            headers={"X-Researcher": self.researcher},
            given={"consent": True, "platform": {**rest, **self.platform}, "simulated": True},
        )
        if response.status == 409:
            raise TurnedAwayError(_detail(response))
        joined = _read(response, 201, "/api/participants")
        self.participant, self.token = joined["participant"], joined["session"]
        await self._questions("before")
        await self._post("/api/stage", {"done": "before", "elapsed_ms": 1000.0})
        self.elapsed_ms += self.person.reading_ms
        await self._post(
            "/api/stage", {"done": "instructions", "elapsed_ms": round_ms(self.person.reading_ms)}
        )

    async def go_on(self) -> None:
        """Answer from where the server says one is, to the end, or until the person leaves."""
        state = await self._get("/api/session")
        rng = self.person.rng
        reload_at = float(rng.random()) if rng.random() < RELOAD else None
        blur_at = float(rng.random()) if rng.random() < BLUR else None
        while state["stage"] in ("practice", "main"):
            main = state["stage"] == "main"
            trials = state["trials"] if main else state["practice"]
            phase, round_ = state["phase"], state["round"]
            total = len(trials)
            for trial in trials[state["next"] :]:
                share = trial["position"] / total
                if main and self._leaves(share):
                    return
                if main and reload_at is not None and share >= reload_at:
                    reload_at = None
                    await self._reload(trial["position"])
                if main and blur_at is not None and share >= blur_at:
                    blur_at = None
                    await self._event("blur")
                    await self._event("focus")
                await self._answer(trial, phase, round_)
            state = await self._get("/api/session")
        if state["stage"] == "after":
            await self._questions("after")
            state = await self._post("/api/stage", {"done": "after", "elapsed_ms": 1000.0})
        self.completion = await self._get("/api/completion")
        self.finished, self.left = True, False

    def _leaves(self, share: float) -> bool:
        """Whether the person leaves now; whoever comes back stays."""
        at = self.person.leaves_at
        if at is None or share < at:
            return False
        self.person.leaves_at, self.left = None, True
        return True

    async def _get(self, path: str) -> dict[str, Any]:
        return _read(await self.connection.ask("GET", path, self.token), 200, path)

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return _read(await self.connection.ask("POST", path, self.token, given=body), 200, path)

    async def _reload(self, position: int) -> None:
        await self._event("reload")
        state = await self._get("/api/session")
        if state["next"] != position:
            raise PrunescopeError(
                f"{self.participant}: after a reload the server goes on at {state['next']}, but {position} answers "
                "were acknowledged"
            )

    async def _event(self, kind: str) -> None:
        event = {
            "key": str(uuid.uuid4()),
            "kind": kind,
            "elapsed_ms": round_ms(self.elapsed_ms),
            "detail": "",
        }
        await self._post("/api/events", {"events": [event]})

    async def _questions(self, when: str) -> None:
        """Answer the design's questions as no person would, so that nobody takes the answers for a person's."""
        asked = [each for each in self.recogniser.experiment.design.questions if each.when == when]
        answers = {
            each.id: {"text": "simulated", "number": 0, "choice": (each.choices or ("",))[0]}[each.kind]
            for each in asked
        }
        if answers:
            await self._post("/api/questions", {"answers": answers})

    async def _answer(self, trial: Mapping[str, Any], phase: str, round_: int) -> None:
        shown = await self._look(trial["pictures"])
        given = self.person.answer(shown, round_)
        self.elapsed_ms += given.rt_ms + BETWEEN_MS
        sent = Sent(
            self.participant, phase, round_, trial["position"], str(uuid.uuid4()), given.answer,
            given.confidence, given.rt_ms, round_ms(self.elapsed_ms),
        )  # fmt: skip
        if self.twice and self.person.rng.random() < self.twice:
            other = self._from_another_tab(sent) if self.person.rng.random() < 0.5 else sent
            await asyncio.gather(self._send(sent), self._send(other))
        else:
            await self._send(sent)

    def _from_another_tab(self, sent: Sent) -> Sent:
        """Return an answer to the same trial, with a key of its own, that says otherwise."""
        others = [value for value in self.person.crowd.values if value != sent.answer]
        chosen = str(self.person.rng.choice(others))
        return replace(sent, key=str(uuid.uuid4()), answer=chosen, rt_ms=round_ms(sent.rt_ms + 1))

    async def _send(self, sent: Sent) -> None:
        place = len(self.sent)
        self.sent.append(sent)
        began = time.perf_counter()
        reply = await self._post("/api/answers", {"answers": [sent.as_json()]})
        own = (sent.phase, sent.round, sent.position)
        said = [
            each for each in reply["acknowledged"] if (each["phase"], each["round"], each["position"]) == own
        ]
        if len(said) != 1:
            raise PrunescopeError(f"{self.participant}: the server acknowledged {reply['acknowledged']}")
        self.sent[place] = replace(
            sent, acknowledged=True, duplicate=said[0]["duplicate"], latency_s=time.perf_counter() - began
        )
        self.tell(self.sent[place])

    async def _look(self, pictures: Mapping[str, list[str]]) -> Shown:
        """Fetch pictures until they tell which task it is and where everything is."""
        seen: list[tuple[str, str]] = []
        first: dict[str, str] = {}
        open_places = {place for place in pictures if len(self.recogniser.shows[place]) > 1}
        ahead = sorted(
            (index, place not in open_places, place, address)
            for place, addresses in pictures.items()
            for index, address in enumerate(addresses)
        )
        candidates = self.recogniser.candidates([])
        for index, _, place, address in ahead:
            if len(candidates) == 1 and open_places <= first.keys() and not self.all_pictures:
                break
            seen.append((place, await self._digest(address)))
            if index == 0:
                first[place] = seen[-1][1]
            candidates = self.recogniser.candidates(seen)
            if not candidates:
                raise PrunescopeError(
                    f"{self.participant}: {address} shows what no task of the experiment shows there"
                )
        return self.recogniser.shown(min(candidates), first)

    async def _digest(self, address: str) -> str:
        response = await self.connection.ask("GET", address, self.token)
        if response.status != 200:
            raise PrunescopeError(f"GET {address}: {response.status} {_detail(response)}")
        self.pictures += 1
        return hashlib.sha256(response.body).hexdigest()


def _read(reply: Reply, expected: int, path: str) -> dict[str, Any]:
    if reply.status != expected:
        raise PrunescopeError(f"{path}: {reply.status} {_detail(reply)}")
    read: dict[str, Any] = reply.json()
    return read


def _detail(reply: Reply) -> str:
    try:
        return str(reply.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return reply.body[:200].decode(errors="replace")
