"""The server against its own OpenAPI document: whatever is sent, it answers as it says it does, and never with 5xx."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from made_experiment import made_experiment
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from served import Visitor, answer_of, in_process, service_of, to_main

from prunescope.survey.limits import Limit

QUESTIONS = [{"id": "said", "text": "Anything to say?", "kind": "text", "when": "before"}]
LEFT_OUT = {
    "positive_data_acceptance"
}  # an answer may be well formed and still not the next one, or none offered
EXAMPLES = 10  # of an operation
TOKENS: dict[str, str] = {}


@pytest.fixture(scope="module")
def interface(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    folder = tmp_path_factory.mktemp("fuzz") / "study"
    experiment = made_experiment(folder, "pairwise", questions=QUESTIONS, answers_per_task=100_000)
    with in_process(experiment) as client:
        service = service_of(client)
        for name in ("entering", "writing", "pictures", "guessing"):
            setattr(service.limits, name, Limit(1e9, 1e9))
        visitor = Visitor(client)
        visitor.enter()
        visitor.done("before")
        to_main(visitor, experiment)
        visitor.answer(answer_of("main", 1, 0, "left"))
        TOKENS.update(participant=visitor.headers["Authorization"], researcher=f"Bearer {service.token}")

        async def without_lifespan(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":  # the fuzzer would stop the server after each request
                await client.app(scope, receive, send)

        yield schemathesis.openapi.from_asgi("/api/openapi.json", without_lifespan)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_reply_is_as_the_document_says(
    interface: schemathesis.BaseSchema, mode: GenerationMode
) -> None:
    operations = [found.ok() for found in interface.get_all_operations()]
    assert len(operations) == 15
    for operation in operations:
        if operation.path in {"/api/withdraw", "/api/researcher/export"}:
            continue  # would end the session of all others; has no parameters
        if mode is GenerationMode.NEGATIVE and not (operation.body or "{" in operation.path):
            continue  # nothing that could be wrong
        token = TOKENS["researcher" if operation.path.startswith("/api/researcher") else "participant"]
        fuzz(operation, mode, {"Authorization": token})


def fuzz(operation: schemathesis.APIOperation, mode: GenerationMode, headers: dict[str, str]) -> None:
    left_out = [check for check in CHECKS.get_all() if check.__name__ in LEFT_OUT]

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def one(case: schemathesis.Case) -> None:
        case.validate_response(case.call(headers=headers), excluded_checks=left_out)

    one()


ODD: list[bytes] = [
    b"",
    b"\xff\xfe",
    b'{"answers": NaN}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"answers": [' + b"9" * 5000 + b"]}",
    b'{"consent": true, "platform": {"name": "direct", "participant": "\\ud800"}}',
    b'{"consent": true, "platform": {"name": "direct", "participant": "a\\u0000b"}}',
    b'{"done": "instructions", "elapsed_ms": Infinity}',
    b'{"done": "instructions", "elapsed_ms": 1e999}',
    b'{"done": "instructions", "elapsed_ms": ' + b"9" * 400 + b"}",
    b'{"answers": {"said": "a\\u0000b"}}',
    b'{"answers": {"said": "\\udfff"}}',
    b'{"answers": {"\\ud800": "x"}}',
    b'{"answers": {"said": 1e308}}',
    json.dumps({"answers": [answer_of("main", 1, 10**30, "left")]}).encode(),
    json.dumps({"answers": [answer_of("main", 1, 1, "left", rt_ms=10**400)]}).encode(),
    json.dumps({"answers": [answer_of("main", 1, 1, "\x00")]}).encode(),
    json.dumps({"events": [{"key": "\ud800", "kind": "blur", "elapsed_ms": 1}]}).encode(),
]
POSTS = ["participants", "stage", "answers", "questions", "events", "researcher/pause", "researcher/withdraw"]


@pytest.mark.parametrize("path", POSTS)
def test_what_json_cannot_say_well_is_refused_with_words(interface: Any, path: str) -> None:
    from fastapi.testclient import TestClient

    client = TestClient(interface.app, raise_server_exceptions=False)
    token = TOKENS["researcher" if "researcher" in path else "participant"]
    for body in ODD:
        headers = {"Authorization": token, "Content-Type": "application/json"}
        reply = client.post(f"/api/{path}", content=body, headers=headers)
        assert reply.status_code in {400, 409, 413, 422}, (body[:60], reply.text)
        assert isinstance(reply.json()["detail"], str)


@pytest.mark.parametrize(
    "token", ["", "Bearer", "Bearer ", "Basic x", "Bearer \xff\xfe", "Bearer " + "x" * 5000, "Bearer a b"]
)
def test_odd_tokens_are_nobody_s(interface: Any, token: str) -> None:
    from fastapi.testclient import TestClient

    client = TestClient(interface.app, raise_server_exceptions=False)
    for path in ("/api/session", "/api/completion", "/api/pictures/main/1/0/left/0", "/api/researcher/state"):
        reply = client.get(path, headers={"Authorization": token.encode("latin-1")})
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
