"""Serving an experiment: addresses, signals, and what is said on the terminal."""

from __future__ import annotations

import errno
import ipaddress
import re
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import typer
import uvicorn

from prunescope.errors import PrunescopeError
from prunescope.survey.experiment import read_experiment
from prunescope.survey.security import TOKEN
from prunescope.survey.server import create_app
from prunescope.survey.storage import database_url, described

PORT = 8750
LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
SITE = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]+)?")  # goes into a header as it is
CONNECTIONS = 2000  # at once; a browser has up to six
FILES = 2 * CONNECTIONS  # open at once: connections, pictures, the database
FINISH_S = 20  # for requests that are under way when the server is stopped
PROLIFIC = "?PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"


def serve(
    folder: Path,
    database: str | None = None,
    host: str = "127.0.0.1",
    port: int = PORT,
    *,
    proxy: str | None = None,
    frames: Sequence[str] = (),
    page: Path | None = None,
) -> None:
    """Serve an experiment until Ctrl-C or SIGTERM; what is under way then is finished first.

    Args:
        folder: as `prunescope survey build` wrote it.
        database: URL of SQLite or PostgreSQL; None: `answers.sqlite` in the folder.
        host: address to listen at; other machines reach only what is not loopback.
        port: to listen at; 0: any that is free.
        proxy: public address of a proxy on this machine that speaks TLS; its X-Forwarded-For is believed.
        frames: sites that may show the page in a frame.
        page: folder of the page; None: that of the package.

    Raises:
        PrunescopeError: something of it cannot be used.
    """
    public, names = _proxy(proxy), _frames(frames)
    experiment = read_experiment(folder, pictures=True)
    url = database_url(folder, database)
    _allow_connections()
    listening = _listen(host, port)
    try:
        app = create_app(experiment, url, page=page, hosts=_hosts(host, public), frames=names)
    except BaseException:
        listening.close()
        raise
    _announce(folder, url, listening, host, public)
    config = uvicorn.Config(
        app, loop="asyncio", ws="none", lifespan="on", log_level="warning", access_log=False, server_header=False,
        proxy_headers=public is not None, forwarded_allow_ips="127.0.0.1,::1", limit_concurrency=CONNECTIONS,
        timeout_keep_alive=30, timeout_graceful_shutdown=FINISH_S,
    )  # fmt: skip
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn has its own, and sends them to these afterwards
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])
    typer.echo(f"stopped; every acknowledged answer is in {described(url)}")


def _allow_connections() -> None:
    """Have as many files open as connections need; a shell often allows 1024."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise PrunescopeError(f"nothing can be served at {host}:{port}: {_why(error)}") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise PrunescopeError(f"nothing can be served at {host}:{port}: {_why(error)}") from error
    return listening


def _why(error: Exception) -> str:
    match error:
        case socket.gaierror():
            return "no such address; give another --host"
        case OSError(errno=errno.EADDRINUSE):
            return "another program is there; give another --port"
        case OSError(errno=errno.EACCES):
            return "no permission; give a --port of 1024 or more"
        case OSError(errno=errno.EADDRNOTAVAIL):
            return "this machine has no such address; give another --host"
    return str(error)


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _hosts(host: str, public: str | None) -> frozenset[str] | None:
    """Return the names that a request may call the server by; None: any, where the network decides who comes."""
    if public is not None:
        name = urlsplit(public).hostname or ""
        return LOCAL | {f"[{name}]" if ":" in name else name}
    if not _is_local(host):
        return None
    return LOCAL | {f"[{host}]" if ":" in host else host}


def _proxy(given: str | None) -> str | None:
    if given is None:
        return None
    parts = urlsplit(given)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
        raise PrunescopeError(
            f"--proxy {given}: expected the public address, such as https://study.example.org"
        )
    return given.rstrip("/")


def _frames(given: Sequence[str]) -> tuple[str, ...]:
    for site in given:
        if not SITE.fullmatch(site):
            raise PrunescopeError(
                f"--frame {site}: expected scheme and host, such as https://worker.mturk.com"
            )
    return tuple(given)


def _announce(folder: Path, url: str, listening: socket.socket, host: str, public: str | None) -> None:
    name = f"[{host}]" if ":" in host else host
    address = public or f"http://{name}:{listening.getsockname()[1]}"
    lines = [
        f"participants: {address}/",
        f"Prolific:     {address}/{PROLIFIC}",
        f"researcher:   {address}/researcher (its token is in {folder / TOKEN})",
        f"answers:      {described(url)}",
    ]
    if not _is_local(host) and public is None:
        lines.append(
            "warning: other machines reach this server, and nothing is encrypted on the way. Put a proxy that speaks "
            "TLS before it, and give --proxy https://…"
        )
    lines.append("Ctrl-C stops it.")
    typer.echo("\n".join(lines))
