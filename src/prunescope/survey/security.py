"""Keys, tokens and what every reply carries: who may do what, and what a browser may do with the page."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.survey.design import Design

KEY, TOKEN = "secret.key", "researcher.token"
BYTES = 32  # 256 bits


def new_token() -> str:
    """Return a token that nobody guesses."""
    return secrets.token_urlsafe(BYTES)


def digest(token: str) -> str:
    """Return what is kept of a session's token: enough to know it again, nothing to use it with."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def same(given: str, token: str) -> bool:
    """Compare a token with the right one in a time that says nothing about it."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())


def secret_of(folder: Path, name: str) -> str:
    """Return a secret of an experiment, which is made where there is none; only its owner may read the file.

    Args:
        folder: of the experiment.
        name: `KEY`, of the hashes of platform ids, or `TOKEN`, the researcher's.

    Raises:
        PrunescopeError: the file is damaged, or cannot be read or written.
    """
    path = folder / name
    try:
        _make_secret(path)
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
    if len(secret) < BYTES:
        raise PrunescopeError(
            f"{path} is damaged: it holds {len(secret)} characters instead of a secret. Restore it from a copy, or "
            "remove it; with another secret.key, participants of a platform are not known again"
        )
    return secret


def _make_secret(path: Path) -> None:
    """Write a new secret, unless somebody else was first; where that fails, as on a full disk, no half of it stays."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    try:
        with os.fdopen(number, "w", encoding="ascii") as file:
            file.write(new_token() + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise


@dataclass(frozen=True)
class PlatformIds:
    """What is kept of a platform's ids.

    Attributes:
        store: hashed, plain or none.
        key: of the hashes.
    """

    store: str
    key: str

    @classmethod
    def of(cls, folder: Path, design: Design) -> PlatformIds:
        """Return what the design of an experiment wants, with the key of its folder."""
        return cls(design.platform.store_ids, secret_of(folder, KEY))

    def participant(self, platform: str, given: str | None) -> str | None:
        """Return what is kept of a participant's id."""
        return given if self.store == "plain" else self._hashed(platform, "participant", given)

    def session(self, platform: str, given: str | None) -> str | None:
        """Return what is kept of a session's id: never itself."""
        return self._hashed(platform, "session", given)

    def study(self, given: str | None) -> str | None:
        """Return what is kept of a study's id, which is nobody's."""
        return None if self.store == "none" else given

    def _hashed(self, platform: str, what: str, given: str | None) -> str | None:
        if given is None or self.store == "none":
            return None
        text = "\0".join((platform, what, given))
        return hmac.new(self.key.encode(), text.encode(), hashlib.sha256).hexdigest()


def headers(design: Design, frames: Iterable[str] = ()) -> dict[str, str]:
    """Return the headers of every reply.

    Args:
        design: of the experiment; its hosts of Mechanical Turk may be sent a form.
        frames: sites that may show the page in a frame, `https://worker.mturk.com`; none otherwise.
    """
    forms = " ".join(["'self'", *(f"https://{host}" for host in design.platform.mturk_hosts)])
    inside = " ".join(frames) or "'none'"
    policy = {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' blob:",
        "connect-src": "'self'", "base-uri": "'none'", "form-action": forms, "frame-ancestors": inside,
    }  # fmt: skip
    own = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), fullscreen=(self)",
        "Cache-Control": "no-store",
    }
    return own if inside != "'none'" else own | {"X-Frame-Options": "DENY"}
