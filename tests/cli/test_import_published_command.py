from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from call import call, refused

from published_files import accuracies, compressions, write


def test_each_study_is_a_run_and_what_is_skipped_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "in" / "a", first=accuracies())
    write(tmp_path / "in" / "b", second=compressions(), other=pd.DataFrame({"rate": [1], "score": [2]}))
    monkeypatch.chdir(tmp_path)
    called = call(monkeypatch, "import-published", "in")
    out, err = capsys.readouterr()
    assert called.code == 0
    assert out.splitlines() == ["imported: runs/published-first", "imported: runs/published-second"]
    assert "skipped in/b/other.csv: nearest is the layout of" in err
    assert call(monkeypatch, "report", "runs/published-first").code == 0


def test_nothing_known_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, x=accuracies().rename(columns={"rate": "sparsity"}))
    called = call(monkeypatch, "import-published", tmp_path, "--out", tmp_path / "runs")
    called.out, called.err = capsys.readouterr()
    refused(called, "x.csv", "lacks rate", "docs/published.md")
