"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


class Answer(SystemExit):
    """An exit code with a meaning of its own, where 2 does not say that the command was written wrongly."""


Study = Annotated[Path, typer.Argument(help="A study file (YAML).", show_default=False)]
Results = Annotated[Path, typer.Argument(help="The results of a study: runs/NAME.", show_default=False)]
Runs = Annotated[
    list[Path],
    typer.Argument(
        help="The results of a study, runs/NAME; of several, to compare them.", show_default=False
    ),
]
Published = Annotated[
    list[Path] | None,
    typer.Option(
        help="A published study to draw along, as import-published wrote it. May be repeated.",
        show_default=False,
    ),
]
Margin = Annotated[
    list[str] | None,
    typer.Option(help="A difference that counts as none: top1=0.005. May be repeated.", show_default=False),
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="Folder that relative paths of images and weights start from.", envvar="PRUNESCOPE_DATA"
    ),
]
Out = Annotated[Path, typer.Option(help="Folder of results; studies with the same one share their steps.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change a field of the study: retrain.epochs=2. May be repeated.", show_default=False
    ),
]
NetworkName = Annotated[
    str,
    typer.Argument(
        help="torchvision/<network>, timm/<network>, prunescope/sprig, package.module:function, or a saved file.",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(help="A checkpoint file, or published weights (IMAGENET1K_V1).", show_default=False),
]
Classes = Annotated[int | None, typer.Option(help="Outputs of the network.", show_default=False)]
