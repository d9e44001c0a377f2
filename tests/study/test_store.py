"""The store under what happens to it: kills, two processes, a full disk, damage, newer versions."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope.errors import NoRoomError, PrunescopeError
from prunescope.study.store import Damage, DamagedStep, Store

# Does the steps 0 … count-1 that are not yet done; each has two files whose contents follow from its number.
WORKER = """
import sys
from pathlib import Path
from prunescope.study.store import Store

store = Store(Path(sys.argv[1]))
print("ready", flush=True)
for i in range(int(sys.argv[2])):
    step = f"step-{i:05d}"
    with store.lock(step):
        if not store.has(step):
            with store.write(step, {"number": i}) as folder:
                (folder / "a.bin").write_bytes(bytes([i % 256]) * 300_000)
                (folder / "tables").mkdir()
                (folder / "tables" / "b.bin").write_bytes(bytes([i % 251]) * 1000)
"""

# Two of these are let loose on one step; each says what it did.
CONTENDER = """
import sys, time
from pathlib import Path
from prunescope.study.store import Store

store = Store(Path(sys.argv[1]))
with store.lock("shared", on_wait=lambda: print("waited", flush=True)):
    if not store.has("shared"):
        print("works", flush=True)
        with store.write("shared", {}) as folder:
            (folder / "result").write_text("once")
            time.sleep(1)
"""

# Writes more than the process may: the kernel refuses with EFBIG, as it does with ENOSPC on a full disk.
LIMITED = """
import resource, sys
from pathlib import Path
from prunescope.errors import NoRoomError
from prunescope.study.store import Store

store = Store(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with store.write("big", {}) as folder:
        (folder / "weights").write_bytes(bytes(1_000_000))
except NoRoomError as error:
    print(error)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def strike(worker: subprocess.Popen[str], blow: signal.Signals) -> None:
    """End a process by a signal; Python may lose a Ctrl-C that falls into a `__del__`, so ask again."""
    while worker.poll() is None:
        worker.send_signal(blow)
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.communicate(timeout=5)


def fill(store: Store, step: str = "prune-1", **files: bytes) -> Path:
    with store.lock(step), store.write(step, {"rate": 0.5}) as folder:
        for name, contents in (files or {"weights": b"0123456789", "table": b"abc"}).items():
            (folder / name).write_bytes(contents)
    return store.steps / step


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


# What a finished step is


def test_a_step_is_there_once_it_is_whole(store: Store) -> None:
    with store.lock("prune-1"), store.write("prune-1", {"rate": 0.5}) as folder:
        (folder / "weights").write_bytes(b"x")
        assert not store.has("prune-1")
        assert store.step_ids() == []
    assert store.has("prune-1")
    assert store.step_ids() == ["prune-1"]
    assert (store.open("prune-1") / "weights").read_bytes() == b"x"
    assert store.verify() == []


def test_the_manifest_says_what_was_done(store: Store) -> None:
    with store.write("prune-1", {"rate": 0.5, "layers": ["conv1"]}) as folder:
        (folder / "tables").mkdir()
        (folder / "tables" / "scores").write_bytes(b"abc")
        time.sleep(0.05)
    manifest = store.manifest("prune-1")
    assert (manifest["format"], manifest["step"]) == (1, "prune-1")
    assert manifest["record"] == {"rate": 0.5, "layers": ["conv1"]}
    expected = hashlib.blake2b(b"abc", digest_size=16).hexdigest()
    assert manifest["files"] == {"tables/scores": {"bytes": 3, "blake2b": expected}}
    assert 0.05 <= manifest["seconds"] < 5
    assert abs(datetime.now(UTC) - datetime.fromisoformat(manifest["finished"])) < timedelta(seconds=10)


@settings(max_examples=25, deadline=None)
@given(
    contents=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.binary(max_size=100)),
    record=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats() | st.text()),
)
def test_whatever_is_written_is_found_sound_by_another_process(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes], record: dict[str, object]
) -> None:
    root = tmp_path_factory.mktemp("runs")
    with Store(root).write("x", record) as folder:
        for name, data in contents.items():
            (folder / name).write_bytes(data)
    later = Store(root, create=False)
    assert later.has("x")
    assert later.verify() == []
    assert repr(later.manifest("x")["record"]) == repr(record)  # repr, since nan is not nan
    assert {name: (later.open("x") / name).read_bytes() for name in contents} == contents


@pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt()])
def test_nothing_appears_after_a_failure(store: Store, failure: BaseException) -> None:
    def fail(folder: Path) -> None:
        (folder / "weights").write_bytes(b"x")
        raise failure

    with pytest.raises(type(failure)), store.write("prune-1", {}) as folder:
        fail(folder)
    assert list(store.steps.iterdir()) == []


def test_errors_of_the_system_name_the_step_and_the_file(store: Store) -> None:
    said = r"doing step prune-1 \(at /nowhere/image\.png\)"
    with pytest.raises(PrunescopeError, match=said), store.write("prune-1", {}):
        Path("/nowhere/image.png").read_bytes()
    assert list(store.steps.iterdir()) == []


# Processes


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_step_is_never_half_there_after_a_kill_or_ctrl_c(tmp_path: Path) -> None:
    root, draw = tmp_path / "runs", random.Random(0)
    caught_writing = 0
    for blow in [signal.SIGKILL] * 20 + [signal.SIGINT] * 5:
        worker = start(WORKER, root, 100_000)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        time.sleep(draw.uniform(0.0, 0.06))
        strike(worker, blow)
        assert worker.returncode == -blow
        store = Store(root)
        caught_writing += any(store.steps.glob(".tmp-*"))
        assert all(map(store.has, store.step_ids()))
        assert store.verify() == []
    assert caught_writing > 0  # otherwise the kills proved nothing

    everything = len(store.step_ids()) + 3
    done = {step: (store.steps / step / "step.json").stat().st_mtime_ns for step in store.step_ids()}
    worker = start(WORKER, root, everything)
    worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert len(store.step_ids()) == everything
    assert store.verify() == []
    assert not any(store.steps.glob(".*"))  # leftovers are gone
    assert all((store.steps / step / "step.json").stat().st_mtime_ns == at for step, at in done.items())


def test_two_processes_do_a_step_once(tmp_path: Path) -> None:
    both = [start(CONTENDER, tmp_path / "runs") for _ in range(2)]
    said = sorted(worker.communicate(timeout=30)[0] for worker in both)
    assert [worker.returncode for worker in both] == [0, 0]
    assert said == ["waited\n", "works\n"]
    assert (Store(tmp_path / "runs").open("shared") / "result").read_text() == "once"


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_dead_process_holds_no_lock(tmp_path: Path) -> None:
    worker = start(CONTENDER, tmp_path / "runs")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "works\n"
    waits: list[str] = []
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    with Store(tmp_path / "runs").lock("shared", on_wait=lambda: waits.append("waited")):
        assert waits == []


# A full disk


def test_a_full_disk_is_said_and_leaves_nothing(small_disk: Path) -> None:
    store = Store(small_disk / "runs")
    done = fill(store)
    with pytest.raises(NoRoomError, match=r"no room left .* doing step big"):
        fill(store, "big", weights=bytes(4_000_000))
    assert [folder.name for folder in store.steps.iterdir()] == [done.name]
    fill(store, "big", weights=bytes(400_000))  # there is room again
    assert store.verify() == []


def test_a_disk_that_is_full_at_the_manifest(small_disk: Path) -> None:
    store = Store(small_disk / "runs")

    def fill_up(folder: Path) -> None:
        (folder / "weights").write_bytes(bytes(shutil.disk_usage(folder).free))
        assert shutil.disk_usage(folder).free == 0

    with pytest.raises(NoRoomError), store.write("big", {}) as folder:
        fill_up(folder)
    assert list(store.steps.iterdir()) == []


def test_a_full_disk_is_seen_behind_an_error_that_hides_it(small_disk: Path) -> None:
    torch = pytest.importorskip("torch")
    store = Store(small_disk / "runs")
    with pytest.raises(NoRoomError) as caught, store.write("big", {}) as folder:
        torch.save(torch.zeros(1_000_000), folder / "weights.pt")
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.skipif(os.name == "nt", reason="limits of resources are POSIX")
def test_a_refused_write_leaves_nothing(tmp_path: Path) -> None:
    said, _ = start(LIMITED, tmp_path / "runs").communicate(timeout=30)
    assert said.startswith("no room left on the disk while doing step big")
    assert list((tmp_path / "runs" / "steps").iterdir()) == []


# Damage


def test_every_flipped_bit_is_seen(store: Store) -> None:
    folder = fill(store, weights=b"0123456789")
    draw = random.Random(0)
    for file in ("weights", "step.json"):
        sound = (folder / file).read_bytes()
        for position in range(len(sound)):
            flipped = bytearray(sound)
            flipped[position] ^= 1 << draw.randrange(8)
            (folder / file).write_bytes(flipped)
            what = "contents" if file == "weights" else "manifest"
            assert store.verify() == [Damage("prune-1", file, what)]
        (folder / file).write_bytes(sound)
    assert store.verify() == []


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    folder = fill(Store(tmp_path), a=b"aaaa", b=b"bbbb", c=b"cccc", d=b"dddd")
    (folder / "a").write_bytes(b"aaaA")
    (folder / "b").write_bytes(b"bb")
    (folder / "c").unlink()
    store = Store(tmp_path, create=False)
    assert [(damage.file, damage.what) for damage in store.verify()] == [
        ("a", "contents"),
        ("b", "size"),
        ("c", "missing"),
    ]
    assert not store.has("prune-1")
    with pytest.raises(DamagedStep, match="prune-1 is damaged: a has changed; b has another size; c is mis"):
        store.open("prune-1")


def test_has_looks_at_sizes_and_open_at_contents(tmp_path: Path) -> None:
    folder = fill(Store(tmp_path), a=b"aaaa")
    (folder / "a").write_bytes(b"aaaA")
    assert Store(tmp_path).has("prune-1")
    with pytest.raises(DamagedStep):
        Store(tmp_path).open("prune-1")


def test_checksums_are_compared_once_per_process(tmp_path: Path) -> None:
    folder = fill(Store(tmp_path), a=b"aaaa")
    store = Store(tmp_path)
    assert store.open("prune-1") == folder
    (folder / "a").write_bytes(b"aaaA")
    assert store.open("prune-1") == folder  # no second look
    assert store.verify() == [Damage("prune-1", "a", "contents")]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"files": {}}', b"\xff\xfe"])
def test_a_manifest_that_is_none(store: Store, text: bytes) -> None:
    folder = fill(store)
    (folder / "step.json").write_bytes(text)
    assert store.verify() == [Damage("prune-1", "step.json", "manifest")]
    assert not store.has("prune-1")


def test_a_step_that_is_not_there(store: Store) -> None:
    assert not store.has("prune-1")
    with pytest.raises(DamagedStep, match=r"step\.json is missing"):
        store.manifest("prune-1")
    assert store.verify(["prune-1"]) == [Damage("prune-1", "step.json", "missing")]


def test_a_damaged_step_is_set_aside_and_done_again(store: Store) -> None:
    for n in (1, 2):
        folder = fill(store, weights=b"sound")
        (folder / "weights").write_bytes(b"spoilt")
        aside = store.set_aside("prune-1")
        assert aside == store.steps / f".damaged-prune-1-{n}"
        assert (aside / "weights").read_bytes() == b"spoilt"
        assert not store.has("prune-1")
    fill(store, weights=b"sound")
    assert store.verify() == []
    assert store.step_ids() == ["prune-1"]


def test_writing_over_a_damaged_step_keeps_it_aside(store: Store) -> None:
    (fill(store, weights=b"sound") / "weights").write_bytes(b"spoilt")
    fill(store, weights=b"sound")
    assert store.verify() == []
    assert (store.steps / ".damaged-prune-1-1" / "weights").read_bytes() == b"spoilt"


# Folders that are no store of ours


def test_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path)
    newer = json.dumps({"format": 2})
    (tmp_path / "store.json").write_text(newer)
    with pytest.raises(PrunescopeError, match=r"newer version .*upgrade prunescope, or choose another --out"):
        Store(tmp_path)
    assert (tmp_path / "store.json").read_text() == newer


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "one"}'])
def test_an_unreadable_store_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(PrunescopeError, match=r"store\.json is damaged: expected .*\"format\": 1"):
        Store(tmp_path)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(PrunescopeError, match="is a file, and results need a folder"):
        Store(tmp_path / "runs")
    with pytest.raises(PrunescopeError, match="no results in"):
        Store(tmp_path / "runs", create=False)


def test_reading_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        PrunescopeError, match=r"no results in .*expected a folder that `prunescope run` wrote"
    ):
        Store(tmp_path / "nowhere", create=False)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_study_hints_at_its_parent(tmp_path: Path) -> None:
    Store(tmp_path)
    (tmp_path / "my-study").mkdir()
    with pytest.raises(PrunescopeError) as caught:
        Store(tmp_path / "my-study", create=False)
    assert str(caught.value).endswith(f"did you mean {tmp_path}?")


def test_a_place_without_permission(tmp_path: Path) -> None:
    refused = tmp_path / "locked"
    refused.mkdir(mode=0o500)
    if os.access(refused, os.W_OK):  # root may write anywhere but here
        refused = Path("/sys")
    with pytest.raises(PrunescopeError, match=r"no permission while opening the results in .*runs"):
        Store(refused / "runs")
