"""What every request passes first: whether it is meant for us, how large its body is; and what every reply carries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 256 * 1024  # bytes; 200 answers are some 50 KiB
BODY_S = 30.0  # for a body to arrive


class Gate:
    """Middleware: refuses other hosts' names and large bodies, reads the body whole, and adds headers to replies.

    Args:
        app: what comes behind.
        headers: of every reply, unless it has its own.
        hosts: names that the server may be called by; None: any. A name that someone else's name server gives to
            this machine's own address (DNS rebinding) is none of them.
    """

    def __init__(self, app: ASGIApp, headers: Mapping[str, str], hosts: frozenset[str] | None = None):
        self._app, self._hosts = app, hosts
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message.get("headers", ())}
                own = [pair for pair in self._headers if pair[0] not in there]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        if self._hosts is not None and _host(scope) not in self._hosts:
            await _refuse(with_headers, 400, "This server is not called so: use the address that it printed.")
            return
        try:
            async with asyncio.timeout(BODY_S):
                body = await _body(scope, receive)
        except TimeoutError:
            await _refuse(with_headers, 408, "The request took too long to arrive: please send it again.")
            return
        except ClientDisconnect:
            return
        if body is None:
            await _refuse(
                with_headers, 413, f"The request is larger than {LARGEST_BODY} bytes: send less at once."
            )
            return
        await self._app(scope, _replay(body, receive), with_headers)


def _host(scope: Scope) -> str:
    """Return the header Host without its port."""
    name = next((value for key, value in scope["headers"] if key == b"host"), b"").decode("latin-1").lower()
    return name.rpartition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]


async def _body(scope: Scope, receive: Receive) -> bytes | None:
    """Return the whole body; None where it is too large, whatever its header says."""
    said = next((value for key, value in scope["headers"] if key == b"content-length"), b"0")
    if said.isdigit() and int(said[:20]) > LARGEST_BODY:
        return None
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST_BODY:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return what gives the body once, and then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, status: int, words: str) -> None:
    content = json.dumps({"detail": words}).encode()
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    own.append((b"connection", b"close"))  # the rest of a large body is not read
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": content})
