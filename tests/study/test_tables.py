"""Reading and writing tables, whatever happened to them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from prunescope.errors import PrunescopeError
from prunescope.study.tables import load_tables, write_tables

ONE = {"scores": pd.DataFrame({"network": ["a", "b"], "value": [0.1, float("nan")]})}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_tables(ONE, tmp_path / "tables")
    assert set(load_tables(tmp_path)) == {"scores"}
    pd.testing.assert_frame_equal(load_tables(tmp_path)["scores"], ONE["scores"])


def test_tables_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    write_tables({**ONE, "classes": pd.DataFrame({"class": ["a"]})}, tmp_path / "tables")
    write_tables(ONE, tmp_path / "tables")
    assert [path.name for path in (tmp_path / "tables").iterdir()] == ["scores.parquet"]


def test_a_draft_that_a_killed_process_left_is_no_table(tmp_path: Path) -> None:
    write_tables(ONE, tmp_path / "tables")
    (tmp_path / "tables" / ".images.parquet").write_bytes(b"half of a tab")
    assert set(load_tables(tmp_path)) == {"scores"}


def test_no_tables_says_where_they_were_expected(tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match=r"no tables in .*give a study's folder, such as runs/demo"):
        load_tables(tmp_path)


def test_a_damaged_table_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    write_tables(ONE, tmp_path / "tables")
    file = tmp_path / "tables" / "scores.parquet"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(PrunescopeError, match=r"is damaged .*run the study again"):
        load_tables(tmp_path)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PrunescopeError, match=r"while writing .*file"):
        write_tables(ONE, tmp_path / "file" / "tables")
