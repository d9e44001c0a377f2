"""`prunescope figure`: files for a paper, the same as the report's, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic import write_study
from synthetic_units import write_unit_study

from cli.call import Called, call, refused
from prunescope.report import sections

Command = Callable[..., Called]


@pytest.fixture
def prunescope(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run `prunescope` in this process and catch what it says."""

    def called(*arguments: object) -> Called:
        capfd.readouterr()
        result = call(monkeypatch, *arguments)
        result.out, result.err = capfd.readouterr()
        return result

    return called


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("runs") / "small", layers=3, rates=(0.2, 0.6))


def test_the_files_are_those_of_the_report_byte_for_byte(
    run: Path, tmp_path: Path, prunescope: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sections, "SECTIONS", (sections.accuracy, sections.layers))
    assert prunescope("report", run).code == 0
    for name in ("pareto", "density-by-layer"):
        called = prunescope("figure", name, run, "--svg", "--png", "--out", "figures")
        assert called.code == 0
        for form in ("svg", "png"):
            made, of_report = (tmp_path / "figures", run / "report" / "figures")
            assert (made / f"{name}.{form}").read_bytes() == (of_report / f"{name}.{form}").read_bytes()
            assert f"figure: {Path('figures') / f'{name}.{form}'}\n" in called.out


def test_without_options_a_pdf_is_written_into_the_current_folder(
    run: Path, tmp_path: Path, prunescope: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert prunescope("figure", "top1-by-rate", run).out == "figure: top1-by-rate.pdf\n"
    first = (tmp_path / "top1-by-rate.pdf").read_bytes()
    assert first.startswith(b"%PDF")
    assert prunescope("figure", "top1-by-rate", run).code == 0
    assert (tmp_path / "top1-by-rate.pdf").read_bytes() == first


def test_the_ending_of_a_file_says_its_form_and_width_is_in_inches(
    run: Path, tmp_path: Path, prunescope: Command
) -> None:
    for width in (7.2, 3.5):
        place = tmp_path / "new" / f"{width}.SVG"
        assert prunescope("figure", "top1-by-cost", run, "--out", place, "--width", width).code == 0
        found = re.search(r'<svg[^>]* width="([0-9.]+)pt"', place.read_text("utf-8"))
        assert found is not None
        assert float(found[1]) == pytest.approx(72 * width)


def test_the_figures_of_a_run_are_listed_and_what_others_need(run: Path, prunescope: Command) -> None:
    there, missing = prunescope("figure", "--list", run).out.split("\nnot of these results:\n")
    assert "top1-by-rate: top-1 accuracy against the rate\n" in there
    assert "mis-by-rate: needs pruned networks whose units were scored (measure mis)\n" in missing


@pytest.mark.parametrize(("arguments", "expected"), [
    (["paretto", "RUN"], ("no figure 'paretto' (did you mean 'pareto'?)", "--list")),
    (["saw-tooth", "RUN"], ("no figure saw-tooth of these results", "needs a series of two rounds")),
    (["pareto"], ("no run given", "`prunescope figure NAME RUN`")),
    (["pareto", "RUN", "--out", "a.jpg"], ("ends in .jpg", "expected a file that ends in .pdf, .svg or .png")),
    (["pareto", "RUN", "--out", "a.pdf", "--svg"], ("contradict each other", "--svg")),
    (["pareto", "nowhere"], ("study.json is missing",)),
    (["pareto", "RUN", "RUN"], ("twice",)),
])  # fmt: skip
def test_mistakes(
    run: Path, arguments: list[str], expected: tuple[str, ...], prunescope: Command, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    refused(prunescope("figure", *(run if each == "RUN" else each for each in arguments)), *expected)
    assert not list(tmp_path.iterdir())


def test_an_audit_is_told_where_its_figures_are(run: Path, tmp_path: Path, prunescope: Command) -> None:
    (tmp_path / "audit.json").write_text("{}")
    refused(prunescope("figure", "pareto", tmp_path), "is an audit", f"prunescope report {tmp_path}")


def test_runs_that_do_not_compare_are_not_mixed(tmp_path: Path, prunescope: Command) -> None:
    one = write_unit_study(tmp_path / "one", layers=3, measures=("mis",))
    other = write_unit_study(
        tmp_path / "other", layers=3, measures=("mis",), classes=[f"kind {i}" for i in range(10)]
    )
    refused(prunescope("figure", "mis-by-rate", one, other), "class")


def test_a_folder_that_cannot_be_written_is_named(run: Path, tmp_path: Path, prunescope: Command) -> None:
    (tmp_path / "file").write_text("")
    called = prunescope("figure", "pareto", run, "--out", tmp_path / "file" / "pareto.pdf")
    assert called.code == 1
    assert f"while writing {tmp_path / 'file' / 'pareto.pdf'}" in called.err
