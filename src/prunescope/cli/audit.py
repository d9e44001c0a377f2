"""`prunescope audit`: compare two networks that somebody else made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prunescope.cli.options import Answer, Data

if TYPE_CHECKING:
    from rich.table import Table

    from prunescope.auditing.audit import Audit

FAILED = 2  # the exit code where a condition to fail was met
_GIVEN = "a checkpoint, a saved network, TorchScript, torch.export (.pt2), ONNX, or NAME@WEIGHTS"
_FIELDS = "as YAML, '{crop: 227, order: BGR}', or in a YAML file"


def audit(
    dense: Annotated[str, typer.Argument(help=f"The network before pruning: {_GIVEN}.", show_default=False)],
    pruned: Annotated[str, typer.Argument(help="The network after pruning, likewise.", show_default=False)],
    images: Annotated[
        str,
        typer.Option(
            help="A folder of images, with a subfolder a class or without labels; or folder:PATH, scenes, …",
            show_default=False,
        ),
    ],
    network: Annotated[
        str | None,
        typer.Option(
            help="Architecture of checkpoints that do not say it: torchvision/<network>, timm/<network>, "
            "package.module:function.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for audit.json, tables and the page.")] = Path("audit"),
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            help='End with exit code 2 if this holds: "top1_drop > 0.01". May be repeated; names are those of the '
            "metrics in audit.json.",
            show_default=False,
        ),
    ] = None,
    concepts: Annotated[
        list[str] | None,
        typer.Option(
            help="Annotated images, to dissect both networks: broden:DIR, masks:DIR, textures:DIR, colors, scenes. "
            "May be repeated.",
            show_default=False,
        ),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(
            help="Folder with a mask of the object in each image, for explanations.", show_default=False
        ),
    ] = None,
    speed: Annotated[bool, typer.Option("--speed", help="Time both networks, in turns.")] = False,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave out mis, dissection, explanations or forgetting. May be repeated.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many images, classes as even as can be.", show_default=False),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a setting of a measure: mis.similarity=lpips. May be repeated.",
            show_default=False,
        ),
    ] = None,
    preprocess: Annotated[
        str | None, typer.Option(help=f"What both networks expect of images, {_FIELDS}.", show_default=False)
    ] = None,
    dense_preprocess: Annotated[
        str | None, typer.Option(help="What the dense one expects, where they differ.", show_default=False)
    ] = None,
    pruned_preprocess: Annotated[
        str | None, typer.Option(help="What the pruned one expects, where they differ.", show_default=False)
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of the outputs of both networks: a file with one a line or JSON, or imagenet.",
            show_default=False,
        ),
    ] = None,
    dense_classes: Annotated[
        str | None, typer.Option(help="Those of the dense one, where they differ.", show_default=False)
    ] = None,
    pruned_classes: Annotated[
        str | None, typer.Option(help="Those of the pruned one, where they differ.", show_default=False)
    ] = None,
    class_map: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with the columns class, dense, pruned: which outputs a class of the images is.",
            show_default=False,
        ),
    ] = None,
    any_order: Annotated[
        bool, typer.Option("--any-order", help="Also compare where the first network is the smaller one.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps; auto: cuda where there is one.")] = "auto",
    data: Data = None,
) -> None:
    """Compare two networks on the same images: what was pruned, and what that did. One page and one JSON.

    Ends with 0, with 1 after an error, and with 2 if a condition of --fail-if holds or has no answer.
    """
    from prunescope.auditing.audit import audit as compare
    from prunescope.auditing.networks import read_preprocess
    from prunescope.cli.progress import live_progress
    from prunescope.study.document import Document, apply_overrides

    both = read_preprocess(preprocess)
    own = {"dense": read_preprocess(dense_preprocess), "pruned": read_preprocess(pruned_preprocess)}
    expected = {
        role: {**(both or {}), **(fields or {})} if both or fields else None for role, fields in own.items()
    }
    with live_progress() as watcher:
        found = compare(
            dense,
            pruned,
            images,
            network=network,
            dense_preprocess=expected["dense"],
            pruned_preprocess=expected["pruned"],
            dense_classes=dense_classes or classes,
            pruned_classes=pruned_classes or classes,
            class_map=class_map,
            concepts=concepts or (),
            masks=masks,
            speed=speed,
            skip=skip or (),
            settings=apply_overrides(Document(Path(), {}, {}), changes or ()).data,
            limit=limit,
            fail_if=fail_if or (),
            any_order=any_order,
            out=out,
            data=data,
            device=device,
            watcher=watcher,
        )
    _say(found, out)
    if not found.passed:
        raise Answer(FAILED)


def _say(found: Audit, out: Path) -> None:
    """Say the main numbers, the warnings, where the rest is, and whether it passed."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:  # a pipe has no width to fit
        console = Console(highlight=False, width=200)
    about = found.about
    console.print(_table(found))
    for text in (
        about["relation"]["text"],
        about["classes"]["text"],
        *(f"warning: {w}" for w in about["warnings"]),
    ):
        console.print(text, markup=False, soft_wrap=True)
    for measure, why in about["not_measured"].items():
        console.print(f"not measured: {measure}: {why}", markup=False, soft_wrap=True)
    console.print(f"metrics: {out / 'audit.json'}\nreport: {found.report}", markup=False, soft_wrap=True)
    if about["verdict"] != "not asked":
        console.print(f"verdict: {about['verdict']}", markup=False)
    for reason in found.reasons:
        console.print(f"  {reason}", markup=False, soft_wrap=True)


def _table(found: Audit) -> Table:
    from rich.table import Table

    from prunescope.report.formats import NO_VALUE, percent, quantity

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("", "dense", "pruned"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    rows: tuple[tuple[str, str, Any], ...] = (
        ("top-1", "top1", percent),
        ("weights other than 0", "nonzero", quantity),
        ("zeros", "zeros", percent),
        ("multiply-accumulates", "macs", quantity),
        ("units alive", "units_alive", quantity),
        ("MIS", "mis", "{:.3f}".format),
        ("unique detectors", "unique_detectors", quantity),
    )
    for title, name, write in rows:
        values = [found.metrics.get(f"{name}_{role}") for role in ("dense", "pruned")]
        if any(value is not None for value in values):
            table.add_row(title, *(NO_VALUE if value is None else write(value) for value in values))
    return table
