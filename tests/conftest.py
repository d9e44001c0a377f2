"""What tests share: where real data lies, a cache of their own, small networks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from places import REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real images and weights, which the project does not contain."""
    folder = Path(os.environ.get("PRUNESCOPE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set PRUNESCOPE_TEST_DATA")
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep decoded images of tests away from those of the user."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["PRUNESCOPE_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Compute with one thread: it decides the last bits, and many threads crawl where cores are shared."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def svg_alone() -> Iterator[None]:
    """Leave the PNGs out of pages, a quarter of their time, for tests that look at nothing but a page's text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prunescope.report.page.FORMATS", ("svg",))
        yield
