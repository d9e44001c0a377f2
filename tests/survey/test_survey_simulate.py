from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_experiment import NETWORKS, made_experiment
from scipy import integrate, stats
from typer.testing import CliRunner

from prunescope.cli.survey import survey
from prunescope.errors import PrunescopeError
from prunescope.survey.experiment import Experiment
from prunescope.survey.plain_http import PlainHttp
from prunescope.survey.simulate import Simulation, compare_kept, simulate
from prunescope.survey.simulated import Behaviour, Crowd, Shown, confidence_of, skill_of
from prunescope.survey.simulated_visit import Recogniser, Sent, Visit
from prunescope.survey.simulation_server import own_server, read_token
from prunescope.survey.storage import read_tables
from prunescope.survey.trials import trials_of

KINDS = ("mis", "pairwise", "identification")
MANY = 2000
SEED = 8  # of the twelve, some leave, and one of these comes back


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Experiment]:
    folder = tmp_path_factory.mktemp("made")
    return {kind: made_experiment(folder / kind, kind) for kind in KINDS}


def crowd_of(experiment: Experiment, seed: int = 0, **behaviour: Any) -> Crowd:
    plain = {"skill": skill_of(experiment, []), "people": 0.0, "items": 0.0, "careless": 0.0, "leave": 0.0}
    return Crowd(experiment, Behaviour(**{**plain, **behaviour}), seed)


def shown_of(experiment: Experiment, role: str = "main") -> tuple[Shown, dict[str, Any]]:
    """A task as it would be without its sides being changed."""
    kind = experiment.design.kind
    places = {
        "mis": {"positive_query": "top", "negative_query": "bottom"},
        "pairwise": {"one": "left", "other": "right"},
    }
    task = next(task for task in experiment.task_of.values() if task["role"] == role)
    return Shown(task["task"], places.get(kind, {"map": "middle"})), task


def shares(crowd: Crowd, role: str = "main", round: int = 1) -> dict[str, float]:
    """How often each answer is given by many people to one trial."""
    shown, _ = shown_of(crowd.experiment, role)
    given = [crowd.person(number).answer(shown, round).answer for number in range(MANY)]
    return {value: given.count(value) / MANY for value in sorted(set(given))}


def near(share: float) -> Any:
    """Within five standard errors of a share among `MANY`."""
    return pytest.approx(share, abs=5 * np.sqrt(max(share * (1 - share), 1e-3) / MANY))


# how they answer


def test_right_answers_of_mis_are_as_many_as_the_skill_says(experiments: dict[str, Experiment]) -> None:
    found = shares(crowd_of(experiments["mis"], skill=dict.fromkeys(NETWORKS, 0.7)))
    assert found == {"top": near(0.7), "bottom": near(0.3)}


def test_of_a_pair_the_skill_is_the_share_of_the_less_pruned_network(
    experiments: dict[str, Experiment],
) -> None:
    skill = dict.fromkeys(skill_of(experiments["pairwise"], []), 0.7)
    found = shares(crowd_of(experiments["pairwise"], skill=skill, ties=0.25))
    assert found == {"left": near(0.75 * 0.7), "equal": near(0.25), "right": near(0.75 * 0.3)}


def test_what_is_not_recognised_is_unknown_or_another_class(experiments: dict[str, Experiment]) -> None:
    experiment = experiments["identification"]
    found = shares(crowd_of(experiment, skill=dict.fromkeys(NETWORKS, 0.6)))
    _, task = shown_of(experiment)
    others = [name for name in experiment.classes if name != task["class"]]
    assert found == {task["class"]: near(0.6), "don't know": near(0.2), **dict.fromkeys(others, near(0.1))}


@pytest.mark.parametrize("kind", KINDS)
def test_the_careless_press_anything_but_repeat_what_practice_told_them(
    experiments: dict[str, Experiment], kind: str
) -> None:
    crowd = crowd_of(experiments[kind], careless=1.0)
    for role in ("main", "catch", "practice"):
        assert shares(crowd, role) == dict.fromkeys(crowd.values, near(1 / len(crowd.values)))
    assert max(shares(crowd, "practice", round=2).values()) == near(0.98)


def test_catch_trials_are_seen_by_all_who_look(experiments: dict[str, Experiment]) -> None:
    for kind, experiment in experiments.items():
        assert max(shares(crowd_of(experiment, ties=0.5), "catch").values()) == near(0.98), kind


def test_effects_of_people_and_tasks_are_normal_in_logits(experiments: dict[str, Experiment]) -> None:
    """The share over people is the integral of the formula; it is nearer to one half than the skill."""
    experiment = experiments["mis"]
    crowd = crowd_of(experiment, skill=dict.fromkeys(NETWORKS, 0.8), people=1.5)

    def integrand(effect: float) -> float:
        return stats.norm.pdf(effect, scale=1.5) / (1 + np.exp(-(np.log(4) + effect)))

    expected, _ = integrate.quad(integrand, -15, 15)
    assert 0.6 < expected < 0.75
    assert shares(crowd)["top"] == near(expected)
    effects = crowd_of(experiment, items=0.7).logits - np.log(4)
    main = experiment.tasks["role"] == "main"
    assert len({*effects[main]}) == main.sum()
    drawn = np.concatenate(
        [crowd_of(experiment, seed, items=0.7).logits[main] - np.log(4) for seed in range(60)]
    )
    assert stats.kstest(drawn, stats.norm(scale=0.7).cdf).pvalue > 1e-4


def test_people_can_follow_the_margins_of_mis(experiments: dict[str, Experiment]) -> None:
    """A logistic fit to their answers gives the slope back: by another library, against the tasks' margins."""
    import statsmodels.api as sm

    experiment = experiments["mis"]
    crowd = crowd_of(experiment, slope=8.0)
    main = experiment.tasks[experiment.tasks["role"] == "main"]
    rows = []
    for task in main["task"]:
        shown = Shown(task, {"positive_query": "bottom", "negative_query": "top"})
        given = [crowd.person(number).answer(shown).answer for number in range(300)]
        rows += [(experiment.task_of[task]["margin"], answer == "bottom") for answer in given]
    margin, right = np.array(rows, float).T
    fit = sm.Logit(right, margin[:, None]).fit(disp=0)
    assert abs(fit.params[0] - 8.0) < 4 * fit.bse[0] < 1.5


def test_who_is_sure_is_faster_and_says_so(experiments: dict[str, Experiment]) -> None:
    experiment = experiments["mis"]
    shown, _ = shown_of(experiment)
    said: dict[float, Any] = {}
    for skill in (0.55, 0.99):
        crowd = crowd_of(experiment, skill=dict.fromkeys(NETWORKS, skill))
        given = [crowd.person(number).answer(shown) for number in range(500)]
        said[skill] = np.mean([(each.confidence, each.rt_ms) for each in given], axis=0)
        assert {each.confidence for each in given} <= {1, 2, 3}
    assert said[0.99][0] > said[0.55][0] + 0.8
    assert said[0.99][1] < 0.7 * said[0.55][1]
    rng = np.random.default_rng(0)
    assert set(confidence_of(np.array([-np.inf, np.inf]), 3, rng)) == {3}
    careless = crowd_of(experiment, careless=1.0)
    assert np.mean([careless.person(i).answer(shown).rt_ms for i in range(500)]) < 0.2 * said[0.99][1]


def test_the_same_seed_makes_the_same_people(experiments: dict[str, Experiment]) -> None:
    shown, _ = shown_of(experiments["mis"])
    first, again, other = (
        [crowd_of(experiments["mis"], seed, people=1.0).person(i).answer(shown) for i in range(20)]
        for seed in (1, 1, 2)
    )
    assert first == again != other


# what is asked for


def test_skills_name_conditions_or_networks(experiments: dict[str, Experiment]) -> None:
    given = ["filters@0.8=.6", ".7"]
    assert skill_of(experiments["mis"], given) == {"dense": 0.7, "filters@0.5": 0.7, "filters@0.8": 0.6}
    expected = {"dense | filters@0.5": 0.7, "dense | filters@0.8": 0.6}
    assert skill_of(experiments["pairwise"], given) == expected
    assert skill_of(experiments["pairwise"], ["dense | filters@0.5=.9"])["dense | filters@0.5"] == 0.9


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("filters@.8=.6", "did you mean 'filters@0.8'"),
        ("much", "'much' is no number"),
        ("dense=1.2", "skill of dense is 1.2"),
    ],
)
def test_skills_that_are_none_are_refused(experiments: dict[str, Experiment], given: str, words: str) -> None:
    with pytest.raises(PrunescopeError, match=words):
        Behaviour(skill_of(experiments["mis"], [given]))


@pytest.mark.parametrize(
    ("field", "value"), [("ties", -0.1), ("careless", 2.0), ("people", -1.0), ("items", np.inf)]
)
def test_what_is_no_share_or_spread_is_refused(field: str, value: float) -> None:
    with pytest.raises(PrunescopeError, match=field):
        Behaviour({}, **{field: value})


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_and_sides_are_known_by_their_pictures(experiments: dict[str, Experiment], kind: str) -> None:
    experiment = experiments[kind]
    recogniser = Recogniser(experiment)
    for trial in trials_of(experiment, 1, 5):
        seen = {place: files[0].partition(".")[0] for place, files in trial.shown.items()}
        assert recogniser.candidates(seen.items()) == {trial.task}
        shown, task = recogniser.shown(trial.task, seen), experiment.task_of[trial.task]
        if kind == "mis":
            assert shown.place_of[task["right"]] == trial.right
        elif kind == "pairwise":
            assert trial.network_of[shown.place_of["other"]] == task["other"]
    assert recogniser.candidates([("middle" if kind != "mis" else "top", "0" * 64)]) == set()


# before a real server


@pytest.fixture(scope="module")
def simulated(
    experiments: dict[str, Experiment],
) -> Iterator[dict[str, tuple[Simulation, str]]]:
    """Twelve people before each experiment, some of whom leave, reload, or press anything."""
    found = {}
    for kind, experiment in experiments.items():
        base = f"sqlite:///{experiment.folder / 'simulated.sqlite'}"
        crowd = crowd_of(experiment, seed=SEED, leave=0.4, careless=0.2, people=0.5)
        with own_server(experiment.folder, base) as url:
            token = read_token(experiment.folder / "researcher.token")
            found[kind] = simulate(crowd, 12, url, token, at_once=6, all_pictures=kind == "mis"), base
    return found


def leaves(visit: Visit) -> bool:
    """Whether the person would leave before the last of eight trials."""
    people = visit.person.crowd
    twins = [people.person(number) for number in range(12)]
    (twin,) = [each for each in twins if each.effect == visit.person.effect]
    return twin.leaves_at is not None and twin.leaves_at <= 7 / 8


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_was_acknowledged_is_kept_and_marked_as_simulated(
    simulated: dict[str, tuple[Simulation, str]], kind: str
) -> None:
    found, base = simulated[kind]
    tables = read_tables(base)
    assert not found.failed
    assert not found.turned_away
    assert found.finished + found.left == len(found.visits) == len(tables["participants"]) == 12
    leave = [visit for visit in found.visits if leaves(visit)]
    back = [visit for visit in leave if visit.person.returns]
    assert found.left == len(leave) - len(back)
    assert 0 < len(back) < len(leave)
    assert len(found.acknowledged) == len(found.sent) == len(tables["answers"])
    kept = compare_kept(found.sent, tables["answers"])
    assert kept.whole
    assert kept.acknowledged == len(found.sent)
    assert tables["participants"]["simulated"].all()
    assert all(visit.completion["code"] for visit in found.visits if visit.finished)
    low, high = found.latency_ms([50, 99])
    assert 0 < low <= high


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_to_what_was_shown(
    experiments: dict[str, Experiment], simulated: dict[str, tuple[Simulation, str]], kind: str
) -> None:
    """What the participant's list and seed say is right, is what people who know the pictures answer in practice."""
    experiment = experiments[kind]
    tables = read_tables(simulated[kind][1])
    people = tables["participants"].set_index("participant")
    right = []
    for given in tables["answers"].query("phase == 'main'").to_dict("records"):
        person = people.loc[given["participant"]]
        trial = trials_of(experiment, int(person["list"]), int(person["seed"]))[given["position"]]
        if trial.role == "catch":
            right.append(given["answer"] == trial.right)
    assert np.mean(right) > 0.75  # by chance at most one half; the careless press anything


def test_times_are_those_of_people_who_take_their_time(simulated: dict[str, tuple[Simulation, str]]) -> None:
    tables = read_tables(simulated["mis"][1])
    answers = tables["answers"].sort_values(["participant", "phase", "round", "position"])
    assert (tables["participants"]["instructions_ms"] > 2_000).all()
    order = answers.assign(main=answers["phase"] == "main").sort_values(
        ["participant", "main", "round", "position"]
    )
    assert (order.groupby("participant")["elapsed_ms"].diff().dropna() > 0).all()
    careful = answers.groupby("participant")["rt_ms"].median()
    assert careful.max() > 3_000 > careful.min()  # two of twelve press anything


def test_all_pictures_are_fetched_if_asked_for(simulated: dict[str, tuple[Simulation, str]]) -> None:
    few, every = simulated["identification"][0], simulated["mis"][0]
    assert every.pictures == 20 * len(every.sent)
    assert few.pictures == len(few.sent)


def test_a_loss_a_change_and_a_wrong_word_are_found() -> None:
    sent = [
        Sent("p", "main", 1, position, f"k{position}", "left", None, 10.0, 20.0, True, False)
        for position in range(4)
    ]
    second = replace(sent[1], key="other", answer="right", duplicate=True)
    unacknowledged = replace(sent[3], position=4, key="k4", acknowledged=False, duplicate=None)
    table = pd.DataFrame([each.as_json() | {"participant": each.participant} for each in sent])
    table["confidence"] = pd.array([pd.NA] * len(table), dtype="Int64")
    everything = [*sent, second, unacknowledged]
    assert compare_kept(everything, table).whole
    assert compare_kept(everything, table).acknowledged == 4
    assert compare_kept(everything, table[1:]).lost == [sent[0]]
    for column, value in {"answer": "right", "rt_ms": 11.0, "confidence": 2, "key": "stranger"}.items():
        changed = table.copy()
        changed.loc[2, column] = value
        assert compare_kept(everything, changed).changed == [sent[2]], column
    overwritten = table.copy()
    overwritten.loc[1, ["key", "answer"]] = ["other", "right"]
    assert compare_kept(everything, overwritten).denied == [sent[1]]
    both = [*sent[:1], replace(sent[0], key="again", duplicate=False)]
    assert not compare_kept(both, table).whole


def test_a_participant_who_is_asked_nothing_known_stops(
    experiments: dict[str, Experiment], tmp_path: Path
) -> None:
    """Served another experiment's pictures, the simulation says so rather than guess."""
    other = made_experiment(tmp_path / "other", "identification", lists=1)
    picture = other.pictures / other.task_of[other.practice[0]]["pictures"]["map"][0]
    assert picture.is_file()
    served = experiments["pairwise"]
    with own_server(served.folder, f"sqlite:///{tmp_path / 'x.sqlite'}") as url:
        token = read_token(served.folder / "researcher.token")
        found = simulate(crowd_of(replace_experiment(other, served)), 2, url, token)
        refused = simulate(crowd_of(served), 1, url, "0" * 43)
    assert "shows what no task of the experiment shows there" in found.failed[0]
    assert "403" in refused.failed[0]
    assert not refused.visits


def replace_experiment(other: Experiment, served: Experiment) -> Experiment:
    """The experiment that is served, as someone has it whose pictures are others."""
    tasks = served.tasks.assign(
        pictures=served.tasks["pictures"].str.replace("[0-9a-f]{64}", "0" * 64, regex=True)
    )
    return replace(served, tasks=tasks)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match="no whole experiment"), own_server(tmp_path, "sqlite:///x"):
        pass


def test_the_command_simulates_and_compares(tmp_path: Path) -> None:
    experiment = made_experiment(tmp_path / "made", "pairwise")
    command = [str(experiment.folder), "--participants", "5", "--careless", "0", "--leave", "0"]
    done = CliRunner().invoke(survey, ["simulate", *command, "--skill", ".9", "--skill", "filters@0.8=.2"])
    assert done.exit_code == 0, done.output
    assert "5 began, 5 finished, 0 left" in done.output
    with sqlite3.connect(experiment.folder / "simulated.sqlite") as connection:
        rows = connection.execute("SELECT count(*) FROM answers").fetchone()[0]
    assert f"{rows} of {rows} acknowledged trials kept, 0 lost, 0 other than sent" in done.output
    refused = CliRunner().invoke(survey, ["simulate", *command, "--skill", "mis"])
    assert isinstance(refused.exception, PrunescopeError)


def test_an_interrupt_keeps_what_there_is(tmp_path: Path) -> None:
    experiment = made_experiment(tmp_path / "made", "identification", lists=2, tasks=400)
    command = [
        sys.executable,
        "-m",
        "prunescope",
        "survey",
        "simulate",
        str(experiment.folder),
        "--participants",
        "50",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    base = experiment.folder / "simulated.sqlite"
    until = time.monotonic() + 120
    while answers_in(base) < 100 and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert "(interrupted)" in said
    assert ", 0 lost, 0 other than sent" in said
    assert process.returncode == 0
    assert answers_in(base) >= 100


def answers_in(base: Path) -> int:
    if not base.is_file():
        return 0
    try:
        with sqlite3.connect(f"file:{base}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])
    except sqlite3.OperationalError:  # the tables are being made
        return 0


# the client


def talk(replies: list[bytes], requests: int, close: bool = False) -> list[tuple[int, bytes]]:
    """What the client reads from a server that sends these bytes, one reply a request."""

    async def serve() -> list[tuple[int, bytes]]:
        waiting = iter(replies)
        connections = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)
            while await reader.readline():
                while await reader.readline() not in (b"\r\n", b""):
                    pass
                writer.write(next(waiting, b""))
                if close:
                    break
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        client = PlainHttp(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_s=10)
        try:
            found = [await client.ask("GET", "/") for _ in range(requests)]
        finally:
            await client.close()
            server.close()
        assert len(connections) == (requests if close else 1)
        return [(reply.status, reply.body) for reply in found]

    return asyncio.run(serve())


def test_the_client_reads_whole_bodies_and_keeps_its_connection() -> None:
    plain = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    parts = b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    assert talk([plain, parts, plain], 3) == [(200, b"hello"), (201, b"abcde"), (200, b"hello")]
    gone = b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert talk([gone, gone], 2, close=True) == [(503, b"")] * 2


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b"nonsense\r\n\r\n"]
)
def test_half_a_reply_is_none(reply: bytes) -> None:
    with pytest.raises((OSError, EOFError, ValueError, IndexError)):
        talk([reply], 1, close=True)


@pytest.mark.parametrize("url", ["ftp://here", "localhost:80", "http://", "http://here/there"])
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(PrunescopeError, match="no server's address"):
        PlainHttp(url)


def test_a_server_of_a_simulation_ends_with_it_however_that_ends(tmp_path: Path) -> None:
    folder = made_experiment(tmp_path / "study", "pairwise").folder
    statement = (
        "import sys; from pathlib import Path; from prunescope.survey.simulation_server import own_server\n"
        "with own_server(Path(sys.argv[1]), sys.argv[2]) as url:\n"
        "    print(url, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", statement, str(folder), f"sqlite:///{tmp_path / 'simulated.sqlite'}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as simulation:
        assert simulation.stdout is not None
        port = int(simulation.stdout.readline().rpartition(":")[2])
        assert _answers(port)
        simulation.kill()
    until = time.monotonic() + 30
    while _answers(port) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _answers(port)


def _answers(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0
