"""A server of one's own for a simulation: a real one, in a process of its own, that ends with the simulation."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.survey.parts import survey_parts

DATABASE = "simulated.sqlite"
STARTS_WITHIN_S, STOPS_WITHIN_S = 60.0, 30.0
_NEAR = build_opener(ProxyHandler({}))  # the server is on this machine, whatever proxy there is


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read_token(path: Path) -> str:
    """Read the researcher's token, which the server writes when it starts.

    Raises:
        PrunescopeError: there is none.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise describe_os_error(
            error,
            f"reading the researcher's token from {path} (`prunescope survey serve` writes it; --token FILE)",
        ) from error


@contextmanager
def own_server(folder: Path, database: str, port: int = 0) -> Iterator[str]:
    """Serve an experiment while the block runs.

    Args:
        folder: of the experiment.
        database: URL of the database.
        port: 0 takes one that is free.

    Yields:
        The server's URL.

    Raises:
        PrunescopeError: it does not start; its words are in the message.
    """
    port = port or free_port()
    with tempfile.TemporaryFile() as log:
        process = start_server(folder, database, port, log.fileno())
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(process, url)
            yield url
        except ServerEndedError as error:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()
            raise PrunescopeError(" ".join([f"{error}:", *said[-5:]])) from error
        finally:
            stop_server(process)


class ServerEndedError(PrunescopeError):
    """The server is not there."""


def start_server(
    folder: Path, database: str, port: int, log: int, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own: an interrupt at the terminal is not for it.

    It is that of `prunescope survey serve`, but does without the participant's page where that was not built, and
    stops when its standard input ends, which is when this process does, however that comes.
    """
    return subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import main; main()", str(folder), database, str(port)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )


def wait_until_ready(process: subprocess.Popen[bytes], url: str, within_s: float = STARTS_WITHIN_S) -> None:
    """Wait until a server says that it is well.

    Raises:
        ServerEndedError: it ended, or takes too long.
    """
    until = time.monotonic() + within_s
    while process.poll() is None and time.monotonic() < until:
        try:
            with _NEAR.open(f"{url}/api/health", timeout=5) as response:
                if response.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.05)
    ended = "ended" if process.poll() is not None else f"is not ready after {within_s:g} s"
    raise ServerEndedError(f"the server {ended}")


def stop_server(process: subprocess.Popen[bytes]) -> None:
    """End a server as one should; one that does not end is killed."""
    if process.poll() is None:
        process.terminate()
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Serve what the arguments say: folder, URL of the database, port."""
    folder, database, port = sys.argv[1:]
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        with survey_parts(), _page() as page:
            from prunescope.survey.serve import serve

            serve(Path(folder), database, port=int(port), page=page)
    except PrunescopeError as error:
        sys.exit(f"error: {error}")


def _stop_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is ever written there
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _page() -> Iterator[Path | None]:
    """Yield None for the package's page, or a page that stands for it."""
    from prunescope.survey.pages import INDEX, RESEARCHER, packaged_page

    try:
        packaged_page()
    except PrunescopeError as error:
        with tempfile.TemporaryDirectory() as folder:
            for name in (INDEX, RESEARCHER):
                (Path(folder) / name).write_text(f"<!doctype html><title>Simulation</title><p>{error}")
            yield Path(folder)
    else:
        yield None
