"""Who may do what: tokens, other people's data, the truth, sizes and rates, names of hosts, headers, what is logged."""

from __future__ import annotations

import http.client
import json
import os
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from made_experiment import made_experiment
from served import Served, Visitor, answer_of, in_process, made_page, served, service_of, to_main

from prunescope.errors import PrunescopeError
from prunescope.survey import serve as serving
from prunescope.survey.experiment import Experiment
from prunescope.survey.limits import KNOWN, Limit
from prunescope.survey.pages import packaged_page
from prunescope.survey.parts import NEEDED
from prunescope.survey.security import KEY, TOKEN, same, secret_of
from prunescope.survey.storage import database_url, read_tables
from prunescope.survey.writer import Refused

LARGEST = 256 * 1024


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Experiment, TestClient]]:
    experiment = made_experiment(
        tmp_path_factory.mktemp("security") / "study",
        "mis",
        answers_per_task=1000,
        platform={"store_ids": "hashed"},
    )
    with in_process(experiment) as client:
        yield experiment, client


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("real")
    with served(made_experiment(folder / "study", "pairwise").folder, made_page(folder)) as server:
        yield server


def test_a_page_is_told_nothing_of_role_truth_network_or_file(study: tuple[Experiment, TestClient]) -> None:
    experiment, client = study
    visitor = Visitor(client)
    visitor.enter()
    visitor.done("instructions")
    before = visitor.get("/api/session").text
    main = to_main(visitor, experiment)
    texts = [before, visitor.get("/api/session").text, client.get("/api/welcome").text]
    secrets = {row["task"] for row in experiment.task_of.values()}
    secrets |= {name for trial in main for name in trial.files} | {
        "conv1",
        "filters@0.5",
        "catch",
        "positive",
    }
    told = json.loads(texts[1])["trials"]
    alike = {
        json.dumps(one).replace(f"1/{one['position']}/", "").replace(f": {one['position']}", "")
        for one in told
    }
    assert len(alike) == 1  # but for the position, one trial is described as the other
    for text in texts:
        assert not [secret for secret in secrets if secret in text]
    headers = [
        dict(visitor.get(f"/api/pictures/main/1/{position}/top/0").headers) for position in range(len(main))
    ]
    for one in headers:
        one.pop("content-length")  # of what is seen anyway
    assert all(one == headers[0] for one in headers)
    assert not {"etag", "last-modified", "content-disposition"} & set(headers[0])
    assert headers[0]["cache-control"] == "private, no-store"
    replies = [
        visitor.answer(answer_of("main", 1, position, "top", confidence=1)).json()["acknowledged"][0]
        for position in range(len(main))
    ]
    assert {one["right"] for one in replies} == {None}


def test_pictures_are_there_when_it_is_their_turn_and_for_whom(study: tuple[Experiment, TestClient]) -> None:
    experiment, client = study
    visitor, other = Visitor(client), Visitor(client)
    visitor.enter()
    assert visitor.get("/api/pictures/practice/1/0/top/0").status_code == 403
    visitor.done("instructions")
    assert visitor.get("/api/pictures/practice/1/0/top/0").status_code == 200
    assert visitor.get("/api/pictures/practice/2/0/top/0").status_code == 403
    assert visitor.get("/api/pictures/main/1/0/top/0").status_code == 403
    to_main(visitor, experiment)
    assert visitor.get("/api/pictures/main/1/7/top/0").status_code == 200
    assert visitor.get("/api/pictures/practice/1/0/top/0").status_code == 403
    for path in ("main/1/8/top/0", "main/1/0/top/1", "main/1/0/middle/0", "main/1/99999/top/0"):
        assert visitor.get(f"/api/pictures/{path}").status_code == 404, path
    assert client.get("/api/pictures/main/1/0/top/0").status_code == 401
    other.enter()
    assert other.get("/api/pictures/main/1/0/top/0").status_code == 403


def test_the_researcher_s_pages_need_the_researcher_s_token(study: tuple[Experiment, TestClient]) -> None:
    _, client = study
    visitor = Visitor(client)
    visitor.enter()
    token = service_of(client).token
    calls: list[tuple[str, str, Any]] = [
        ("GET", "state", None), ("GET", "export", None), ("POST", "pause", {"paused": True}),
        ("POST", "withdraw", {"participant": visitor.participant}),
    ]  # fmt: skip
    service_of(client).limits.guessing = Limit(1000, 1)
    for wrong in ("", token[:-1], token + "x", token.swapcase(), visitor.headers["Authorization"][7:]):
        for method, path, body in calls:
            for url in (f"/api/researcher/{path}", f"/api/researcher/{path}?token={token}"):
                reply = client.request(method, url, json=body, headers={"Authorization": f"Bearer {wrong}"})
                assert reply.status_code == 401
                assert token not in reply.text
    service_of(client).limits.guessing = Limit(3, 0.5)
    state = lambda given: client.get("/api/researcher/state", headers={"Authorization": f"Bearer {given}"})  # noqa: E731
    replies = [state("wrong") for _ in range(5)]
    assert [reply.status_code for reply in replies] == [401, 401, 401, 429, 429]
    assert int(replies[-1].headers["Retry-After"]) >= 1
    assert state(token).status_code == 200  # whoever guesses locks nobody out
    assert client.post("/api/participants", json={"consent": True, "simulated": True}).status_code == 429


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(
        "prunescope.survey.security.hmac.compare_digest",
        lambda one, other: compared.append(one) or one == other,
    )
    assert same("abc", "abc")
    assert not same("ab\udfff", "abc")
    assert compared == [b"abc", "ab\udfff".encode("utf-8", "surrogatepass")]


def test_secrets_are_made_once_for_their_owner_only(tmp_path: Path) -> None:
    secret = secret_of(tmp_path, TOKEN)
    assert len(secret) == 43  # 256 bits
    assert secret_of(tmp_path, TOKEN) == secret
    assert stat.S_IMODE((tmp_path / TOKEN).stat().st_mode) == 0o600
    (tmp_path / TOKEN).write_text("short\n")
    with pytest.raises(PrunescopeError, match="is damaged"):
        secret_of(tmp_path, TOKEN)


def test_a_secret_that_finds_no_room_leaves_no_damaged_one(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limits[1]))
    try:
        with pytest.raises(PrunescopeError, match=r"secret\.key"):
            secret_of(tmp_path, KEY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(secret_of(tmp_path, KEY)) == 43


def test_the_database_and_the_log_keep_no_token_and_the_page_no_id(real: Served) -> None:
    with httpx.Client(base_url=real.address, headers={"User-Agent": "a-browser-of-someone"}) as client:
        visitor = Visitor(client, name="prolific", participant="5fUNMISTAKABLE", session="5sUNMISTAKABLE")
        reply = visitor.enter()
        visitor.get("/api/session")
        client.get("/nothing?PROLIFIC_PID=5fUNMISTAKABLE")
    token = reply.json()["session"]
    files = b"".join(path.read_bytes() for path in real.folder.glob("answers.sqlite*")) + real.said.encode()
    for secret in (
        token,
        real.token,
        "5fUNMISTAKABLE",
        "5sUNMISTAKABLE",
        "127.0.0.1:1",
        "a-browser-of-someone",
    ):
        assert secret.encode() not in files.replace(f"127.0.0.1:{real.port}".encode(), b"")
    assert "5fUNMISTAKABLE" not in reply.text


def test_every_reply_carries_the_headers(real: Served) -> None:
    wanted = {
        "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self' https://www.mturk.com "
        "https://workersandbox.mturk.com; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "x-frame-options": "DENY",
    }
    for path in (
        "/",
        "/researcher",
        "/page/study.js",
        "/api/welcome",
        "/nothing",
        "/api/session",
        "/api/openapi.json",
    ):
        got = httpx.get(real.address + path).headers
        assert {name: got.get(name) for name in wanted} == wanted, path
        assert not {"server", "set-cookie", "access-control-allow-origin"} & set(got)
    assert (
        httpx.get(real.address, headers={"Host": "evil.org"}).headers["x-content-type-options"] == "nosniff"
    )


def test_only_names_of_this_machine_are_answered(real: Served) -> None:
    for host in (
        "evil.org",
        "evil.org:80",
        "127.0.0.1.evil.org",
        "",
        "localhost.evil.org",
        "[::1",
        "192.168.0.1",
    ):
        assert httpx.get(f"{real.address}/api/health", headers={"Host": host}).status_code == 400, host
    for host in ("localhost", f"127.0.0.1:{real.port}", "[::1]:9", "LOCALHOST:1"):
        assert httpx.get(f"{real.address}/api/health", headers={"Host": host}).status_code == 200, host
    assert serving._hosts("0.0.0.0", None) is None
    assert serving._hosts("127.0.0.1", "https://study.example.org") == serving.LOCAL | {"study.example.org"}


def test_large_bodies_are_refused_whatever_their_header_says(real: Served) -> None:
    url = f"{real.address}/api/participants"
    assert httpx.post(url, content=b" " * (LARGEST + 1)).status_code == 413
    assert (
        httpx.post(url, content=(b" " * 1024 for _ in range(LARGEST // 1024 + 1))).status_code == 413
    )  # chunked
    assert httpx.post(url, content=b" " * LARGEST).status_code == 422
    connection = http.client.HTTPConnection("127.0.0.1", real.port, timeout=10)
    connection.putrequest("POST", "/api/participants")
    connection.putheader("Content-Length", "9" * 18)
    connection.endheaders()
    assert connection.getresponse().status == 413  # before any of it was sent
    connection.close()
    with socket.create_connection(("127.0.0.1", real.port)) as cut:  # gone in the middle of its body
        cut.sendall(b"POST /api/participants HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    assert httpx.get(f"{real.address}/api/health").status_code == 200
    assert "Traceback" not in real.said


def test_a_limit_lets_a_burst_through_then_a_rate() -> None:
    at = [0.0]
    limit = Limit(3, 2, lambda: at[0])

    def allowed(key: str = "a") -> bool:
        try:
            limit.take(key)
        except Refused as refused:
            return (refused.status, refused.more["retry_after"]) != (429, 1)
        return True

    assert [allowed() for _ in range(5)] == [True] * 3 + [False] * 2
    assert allowed("b")
    at[0] += 0.5
    assert [allowed() for _ in range(2)] == [True, False]
    at[0] += 100
    assert [allowed() for _ in range(4)] == [True] * 3 + [False]
    for number in range(KNOWN + 10):
        limit.take(f"c{number}")
    assert len(limit._left) == KNOWN


def test_entering_and_writing_are_limited(tmp_path: Path) -> None:
    experiment = made_experiment(tmp_path / "study", "pairwise", answers_per_task=1000)
    with in_process(experiment) as client:
        limits = service_of(client).limits
        limits.entering, limits.writing, limits.pictures = Limit(2, 0.01), Limit(4, 0.01), Limit(1, 0.01)
        visitor, other = Visitor(client), Visitor(client)
        assert [visitor.enter().status_code, other.enter().status_code, Visitor(client).enter().status_code] == [
            201, 201, 429,
        ]  # fmt: skip
        assert visitor.done("instructions").status_code == 200
        codes = [visitor.get("/api/session").status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        assert [visitor.get("/api/pictures/practice/1/0/left/0").status_code for _ in range(2)] == [200, 429]
        assert other.get("/api/session").status_code == 200
        assert len(read_tables(database_url(experiment.folder))["participants"]) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--frame", "worker.mturk.com"), "expected scheme and host"),
        (("--frame", "https://a.org; script-src *"), "expected scheme and host"),
        (("--proxy", "study.example.org"), "expected the public address"),
        (("--host", "203.0.113.7"), "this machine has no such address"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(tmp_path: Path, options: tuple[str, str], words: str) -> None:
    experiment = made_experiment(tmp_path / "study", "pairwise")
    given = {"host": "127.0.0.1", "proxy": None, "frames": ()}
    given |= {"frames": (options[1],)} if options[0] == "--frame" else {options[0][2:]: options[1]}
    with pytest.raises(PrunescopeError, match=words):
        serving.serve(experiment.folder, port=0, page=made_page(tmp_path), **given)  # type: ignore[arg-type]
    assert not (tmp_path / "study" / "answers.sqlite").exists()


def test_without_jspsych_the_missing_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunescope.survey.pages.files", lambda _: tmp_path)
    with pytest.raises(PrunescopeError, match="make survey"):
        packaged_page()
    (tmp_path / "page" / "jspsych").mkdir(parents=True)
    (tmp_path / "page" / "jspsych" / "jspsych.js").write_text("")
    assert packaged_page() == tmp_path / "page"


def test_without_the_extra_each_command_says_how_to_install_it(tmp_path: Path) -> None:
    folder = str(made_experiment(tmp_path / "study", "pairwise").folder)
    for name in NEEDED:  # found before those that are installed, also by a server that `simulate` starts
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('none', name={name!r})\n")
    statement = (
        "import sys; from typer.testing import CliRunner; from prunescope.cli.main import app\n"
        "for name in ('serve', 'simulate', 'export', 'analyse', 'retain'):\n"
        "    print(name, repr(CliRunner().invoke(app, ['survey', name, sys.argv[1]]).exception))\n"
        "sys.exit(CliRunner().invoke(app, ['survey', 'power', sys.argv[1], '--studies', '2']).exit_code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", statement, folder],
        check=False, capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert done.returncode == 0, done  # `power` draws in memory, and needs none of it
    assert all("PrunescopeError" in line and 'pip install "prunescope[survey]"' in line for line in lines), (
        lines
    )


def test_more_connections_are_open_at_once_than_a_shell_allows() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))
    try:
        serving._allow_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(serving.FILES, limits[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_frame_is_allowed_where_it_was_asked_for(tmp_path: Path) -> None:
    experiment = made_experiment(tmp_path / "study", "pairwise")
    with in_process(experiment, frames=("https://worker.mturk.com",)) as client:
        headers = client.get("/").headers
    assert headers["content-security-policy"].endswith("frame-ancestors https://worker.mturk.com")
    assert "x-frame-options" not in headers


def test_no_right_to_write_is_said(tmp_path: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may write everywhere")
    experiment = made_experiment(tmp_path / "study", "pairwise")
    experiment.folder.chmod(0o500)
    with pytest.raises(PrunescopeError, match="no permission"), in_process(experiment):
        pass
