"""Results of steps on disk: each is a folder that is there whole, with checksums, or not there at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from prunescope.errors import PrunescopeError, describe_os_error

FORMAT = 1
STORE_FILE = "store.json"
MANIFEST = "step.json"
FULL = 2**20  # bytes: with less than this left, whatever failed while writing failed for want of room

What = Literal["missing", "size", "contents", "manifest"]
SAID = {
    "missing": "is missing",
    "size": "has another size",
    "contents": "has changed",
    "manifest": "cannot be trusted",
}


@dataclass(frozen=True)
class Damage:
    """One file of a finished step that is not as it was written."""

    step: str
    file: str
    what: What

    def __str__(self) -> str:
        return f"{self.file} {SAID[self.what]}"


class DamagedStep(PrunescopeError):
    """The result of a step is not as it was written."""

    def __init__(self, folder: Path, damage: list[Damage]) -> None:
        self.damage = damage
        super().__init__(
            f"the result in {folder} is damaged: {'; '.join(map(str, damage))}. "
            "Move that folder away and run the study again: only what is missing is done again"
        )


class Store:
    """A folder of results, one folder a step, that several processes and studies may share.

    `<root>/steps/<step id>/` holds the files of a finished step and `step.json`, its manifest. A step is
    written in a folder beside its place and renamed into it when everything is on the disk, so a process
    may be killed at any moment. Processes share the work by holding `lock` while they write:

        with store.lock(step_id):
            if not store.has(step_id):
                with store.write(step_id, record) as folder:
                    (folder / "weights.bin").write_bytes(weights)
    """

    def __init__(self, root: Path, create: bool = True) -> None:
        """Open the results in `root`.

        Args:
            root: the folder of results, the `--out` of a run.
            create: make it where there is none; False for those who only read.

        Raises:
            PrunescopeError: it cannot be made, holds no results, or was made by a newer version.
        """
        self.root = root
        self.steps = root / "steps"
        self._whole: set[str] = set()  # steps whose checksums this process has seen to agree
        with _os_errors_while(f"opening the results in {root}"):
            if create:
                _create(root)
            _check_format(root)

    def step_ids(self) -> list[str]:
        """Return the steps that are there, whole or damaged, sorted."""
        with _os_errors_while(f"listing {self.steps}"):
            return sorted(folder.name for folder in self.steps.iterdir() if not folder.name.startswith("."))

    def has(self, step_id: str) -> bool:
        """Whether a step is finished: its manifest is sound, its files are there and of the right sizes."""
        return not self._examine(step_id, contents=False)

    def open(self, step_id: str) -> Path:
        """Return the folder of a finished step; its checksums are compared once per process.

        Raises:
            DamagedStep: a file is missing or has changed.
        """
        if step_id not in self._whole or not (self.steps / step_id / MANIFEST).exists():
            if damage := self._examine(step_id, contents=True):
                raise DamagedStep(self.steps / step_id, damage)
            self._whole.add(step_id)
        return self.steps / step_id

    def manifest(self, step_id: str) -> dict[str, Any]:
        """Return the manifest of a finished step: format, step, record, files, seconds, finished (UTC).

        Raises:
            DamagedStep: as for `open`.
        """
        return _unseal((self.open(step_id) / MANIFEST).read_bytes())

    @contextmanager
    def lock(self, step_id: str, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold a step for this process alone; the kernel lets go of it if the process dies.

        Ask `has` again inside: whoever held the lock before may have finished the step.

        Args:
            step_id: the step.
            on_wait: called once if another process holds the step.
        """
        file = self.root / "locks" / f"{step_id}.lock"
        lock = FileLock(file)
        with _os_errors_while(f"locking {file}"):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if on_wait is not None:
                    on_wait()
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def write(self, step_id: str, record: dict[str, Any]) -> Iterator[Path]:
        """Give a temporary folder to put the files of a step in; on leaving, it becomes the finished step.

        The caller holds the step's lock. A damaged result in its place is set aside. After an exception
        nothing of the step is there.

        Args:
            step_id: the step, which is also the name of its folder.
            record: what the manifest shall say of the step, as plain JSON data.

        Raises:
            NoRoomError: the disk is full.
            PrunescopeError: another error of the operating system.
        """
        folder = self.steps / f".tmp-{step_id}"  # a fixed name, so that what a killed process left is found
        started = time.perf_counter()
        try:
            _remove(folder)
            folder.mkdir()
            yield folder
            manifest = {
                "format": FORMAT,
                "step": step_id,
                "record": record,
                "files": _settle(folder),
                "seconds": round(time.perf_counter() - started, 3),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            _write_new(folder / MANIFEST, _seal(manifest))
            _sync_folder(folder)
            self._put_in_place(folder, step_id)
        except BaseException as error:  # Ctrl-C too
            # Described before its files go: they are what fills the disk.
            described = self._describe(error, f"doing step {step_id}")
            shutil.rmtree(folder, ignore_errors=True)
            if described is None:
                raise
            raise described from error

    def unfinished(self, step_id: str) -> Path:
        """Return the folder in which a step that is under way keeps what it goes on from if it is killed.

        The caller holds the step's lock, writes files there whole, and checks them itself when reading.
        """
        folder = self.root / "unfinished" / step_id
        with _os_errors_while(f"making {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def forget_unfinished(self, step_id: str) -> None:
        """Remove what a finished step no longer needs."""
        shutil.rmtree(self.root / "unfinished" / step_id, ignore_errors=True)

    def verify(self, ids: Iterable[str] | None = None) -> list[Damage]:
        """Compare the checksums of steps (default: all) and return what does not agree; changes nothing."""
        chosen = self.step_ids() if ids is None else ids
        return [damage for step_id in chosen for damage in self._examine(step_id, contents=True)]

    def set_aside(self, step_id: str) -> Path:
        """Move a damaged step out of the way, so that it is done again, and return where it is now."""
        self._whole.discard(step_id)
        names = (self.steps / f".damaged-{step_id}-{n}" for n in count(1))
        aside = next(name for name in names if not name.exists())
        with _os_errors_while(f"moving {self.steps / step_id} aside"):
            return (self.steps / step_id).rename(aside)

    def _put_in_place(self, folder: Path, step_id: str) -> None:
        if (self.steps / step_id).exists():
            self.set_aside(step_id)
        folder.rename(self.steps / step_id)
        _sync_folder(self.steps)
        self._whole.add(step_id)

    def _examine(self, step_id: str, contents: bool) -> list[Damage]:
        """Compare a step with its manifest: sizes always, checksums if `contents`."""
        folder = self.steps / step_id
        with _os_errors_while(f"reading {folder}"):
            try:
                files = _unseal((folder / MANIFEST).read_bytes())["files"]
            except (FileNotFoundError, NotADirectoryError):
                return [Damage(step_id, MANIFEST, "missing")]
            except ValueError:
                return [Damage(step_id, MANIFEST, "manifest")]
            found = ((name, _compare(folder / name, expected, contents)) for name, expected in files.items())
            return [Damage(step_id, name, what) for name, what in found if what is not None]

    def _describe(self, error: BaseException, doing: str) -> PrunescopeError | None:
        """Say an error of the operating system in plain words; None for errors of another kind.

        Libraries hide a full disk (`torch.save` raises RuntimeError, safetensors an error of its own, numpy
        an OSError without a number), so where an error has no number, the disk is asked.
        """
        if isinstance(error, PrunescopeError) or not isinstance(error, Exception):
            return None
        if getattr(error, "errno", None) is None and shutil.disk_usage(self.steps).free < FULL:
            return describe_os_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), doing)
        if isinstance(error, OSError):
            return describe_os_error(error, f"{doing} (at {error.filename or self.steps})")
        return None


def _create(root: Path) -> None:
    if root.is_file():
        raise PrunescopeError(f"{root} is a file, and results need a folder: choose another --out")
    for folder in (root / "steps", root / "locks"):
        folder.mkdir(parents=True, exist_ok=True)
    if not (root / STORE_FILE).exists():
        # Two processes may be here at once; each renames a whole file of the same contents into place.
        draft = root / f".{STORE_FILE}-{os.getpid()}"
        draft.unlink(missing_ok=True)
        _write_new(draft, _json({"format": FORMAT}))
        draft.replace(root / STORE_FILE)


def _check_format(root: Path) -> None:
    try:
        written = json.loads((root / STORE_FILE).read_text("utf-8"))["format"]
        newer = written > FORMAT
    except (FileNotFoundError, NotADirectoryError):
        near = f"; did you mean {root.parent}?" if (root.parent / STORE_FILE).exists() else ""
        raise PrunescopeError(
            f"no results in {root}: expected a folder that `prunescope run` wrote, with {STORE_FILE}{near}"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise PrunescopeError(
            f"{root / STORE_FILE} is damaged: expected {json.dumps({'format': FORMAT})}; "
            "put that there, or choose another --out"
        ) from error
    if newer:
        raise PrunescopeError(
            f"the results in {root} were made by a newer version of prunescope (format {written}, "
            f"this version knows {FORMAT}): upgrade prunescope, or choose another --out"
        )


def _settle(folder: Path) -> dict[str, dict[str, int | str]]:
    """Bring all below `folder` to the disk and return size and checksum of each file by its relative name."""
    files: dict[str, dict[str, int | str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            _sync_folder(path)
            continue
        with path.open("rb+") as file:  # "+": Windows syncs only what is open for writing
            digest = hashlib.file_digest(file, _blake2b).hexdigest()
            files[path.relative_to(folder).as_posix()] = {"bytes": file.tell(), "blake2b": digest}
            os.fsync(file.fileno())
    return files


def _compare(path: Path, expected: dict[str, Any], contents: bool) -> What | None:
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    if size != expected["bytes"]:
        return "size"
    if not contents:
        return None
    with path.open("rb") as file:
        same = hashlib.file_digest(file, _blake2b).hexdigest() == expected["blake2b"]
    return None if same else "contents"


def _seal(manifest: dict[str, Any]) -> bytes:
    """Return a manifest as JSON that ends with a checksum of itself, so that no changed byte goes unseen."""
    return _json({**manifest, "check": _blake2b(_json(manifest)).hexdigest()})


def _unseal(text: bytes) -> dict[str, Any]:
    """Return the manifest that `_seal` wrote; ValueError if the text is not exactly what it wrote."""
    manifest = json.loads(text)
    if not isinstance(manifest, dict) or manifest.pop("check", None) is None or _seal(manifest) != text:
        raise ValueError("the manifest's checksum does not agree")
    return manifest


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, indent=1).encode()


def _blake2b(data: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=16)


def _write_new(path: Path, text: bytes) -> None:
    with path.open("xb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows has no such call and needs none
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _os_errors_while(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise describe_os_error(error, doing) from error
