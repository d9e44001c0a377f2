"""A small HTTP client for thousands of requests a second: connections that stay open, whole bodies, nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from prunescope.errors import PrunescopeError

IDLE_S = 2.0  # an open connection is used again within this time; servers close idle ones after a while
HEAD = 65_536  # bytes of the longest head of a reply
LARGEST = 256 * 2**20  # bytes of the longest body


@dataclass(frozen=True)
class Reply:
    """What a server replied.

    Attributes:
        headers: by name in small letters.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class _Line:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass
class PlainHttp:
    """Asks one server; as many requests at once as are made.

    A library such as httpx takes three times as long for a request as the server does, so that a load test would
    measure the library.

    Args:
        url: of the server, http or https.
        timeout_s: of one request.
    """

    url: str
    timeout_s: float = 30.0
    _idle: list[tuple[float, _Line]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse an address that is none."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise PrunescopeError(f"{self.url!r} is no server's address: expected http://HOST:PORT")
        self._host, self._tls = parts.hostname, parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._netloc = parts.netloc

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, given: Any = None
    ) -> Reply:
        """Send one request, with `given` as JSON, and read the whole reply.

        Raises:
            OSError, EOFError, ValueError: the server is away, hangs up, or speaks no HTTP.
        """
        body = b"" if given is None else json.dumps(given).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._netloc}", f"Content-Length: {len(body)}"]
        lines += ["Content-Type: application/json"] if body else []
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        head = "\r\n".join([*lines, "", ""]).encode()
        async with asyncio.timeout(self.timeout_s):
            line = await self._connect()
            try:
                line.writer.write(head + body)
                reply = await _read(line.reader)
            except BaseException:
                line.writer.close()
                raise
        if reply.headers.get("connection", "").lower() == "close":
            line.writer.close()
        else:
            self._idle.append((time.monotonic(), line))
        return reply

    async def _connect(self) -> _Line:
        while self._idle:
            since, line = self._idle.pop()
            if time.monotonic() - since < IDLE_S and not line.reader.at_eof():
                return line
            line.writer.close()
        return _Line(
            *await asyncio.open_connection(self._host, self._port, ssl=self._tls or None, limit=HEAD)
        )

    async def close(self) -> None:
        """Close all connections."""
        while self._idle:
            _, line = self._idle.pop()
            line.writer.close()
            try:
                await line.writer.wait_closed()
            except OSError:  # the server was first
                continue


async def _read(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ", 2)[1])
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Reply(status, headers, await _chunks(reader))
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= LARGEST:
        raise ValueError(f"a reply of {length} bytes")
    return Reply(status, headers, await reader.readexactly(length))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = bytearray()
    while (size := int((await reader.readline()).split(b";")[0], 16)) and len(parts) <= LARGEST:
        parts += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return bytes(parts)
