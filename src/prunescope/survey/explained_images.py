"""Which explained images are shown to people, and the files that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.survey.design import Design
from prunescope.survey.frozen_pictures import FrozenPictures
from prunescope.survey.run_folder import AGAIN, RunFolder

FOLDER, LIST = "stimuli", "stimuli.csv"
NEEDED = ("file", "kind", "method", "network", "image", "class", "explained_class", "empty")
Image = tuple[str, str]  # its name and its class
STIMULUS = {"heat": "heat map", "map": "explanation map"}


@dataclass(frozen=True)
class Stimuli:
    """The explanations that a run wrote for people.

    Attributes:
        folder: where the files are.
        originals: from an image to the file of the whole photograph.
        explained: `file, kind, network, image, class, usable`: one method's heat maps and explanation maps; usable
            is what shows anything, of the image's own class and, if asked for, by a network that names it rightly.
    """

    folder: Path
    originals: dict[str, Path]
    explained: pd.DataFrame

    def files(self, kind: str) -> dict[tuple[str, str], Path]:
        """Return the files of a kind by network and image."""
        own = self.explained[self.explained["kind"] == kind]
        return {
            (network, image): self.folder / file
            for network, image, file in zip(own["network"], own["image"], own["file"], strict=True)
        }


@dataclass(frozen=True)
class Chosen:
    """Images drawn for an experiment.

    Attributes:
        main: those that are asked about, each class in turn.
        spare: others, in a random order in which the classes alternate.
        classes: of all images.
        left_out: how many images were not drawn from, since some network's map of them is
            empty, missing, or of another class, or that network names them wrongly.
    """

    main: list[Image]
    spare: list[Image]
    classes: list[str]
    left_out: int


def read_stimuli(run: RunFolder, design: Design) -> Stimuli:
    """Read what `stimuli/` of a run has of the method that is asked for.

    Raises:
        PrunescopeError: the run has none, several methods and none chosen, or the list is damaged.
    """
    path = run.path(FOLDER, LIST)
    if not path.exists():
        raise PrunescopeError(
            f"{run.folder} has no explanations to show: add `stimuli: true` to the measure `explanations` of its "
            "study (measure: - explanations: {stimuli: true}) and run the study again; only this measure is "
            "computed anew"
        )
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise PrunescopeError(f"{path} is damaged ({error}): {AGAIN}") from error
    run.checked(path, table, NEEDED)
    originals = table[table["kind"] == "image"]
    explained = table[table["kind"].isin(STIMULUS)]
    known = set(run.results.networks["network"].astype(str))
    if not (set(explained["network"]) <= known and set(explained["empty"]) <= {"True", "False"}):
        raise PrunescopeError(f"{path} is damaged (it names networks or values that there are not): {AGAIN}")
    method = _method(sorted(explained["method"].unique()), design)
    explained = explained[explained["method"] == method]
    usable = (explained["empty"] == "False") & (explained["class"] == explained["explained_class"])
    if design.pool.rightly_named:
        usable &= _rightly_named(run, explained)
    return Stimuli(
        path.parent,
        {
            image: path.parent / file
            for image, file in zip(originals["image"], originals["file"], strict=True)
        },
        explained.assign(usable=usable),
    )


def _rightly_named(run: RunFolder, explained: pd.DataFrame) -> NDArray[np.bool_]:
    """Return of each row whether its network names its image rightly."""
    answers = run.table("explanations", ("network", "image", "correct"))
    right = answers[answers["correct"].fillna(False).astype(bool)]
    known = pd.MultiIndex.from_frame(right[["network", "image"]])
    return np.asarray(pd.MultiIndex.from_frame(explained[["network", "image"]]).isin(known))


def _method(methods: Sequence[str], design: Design) -> str:
    if design.pool.method is None and len(methods) == 1:
        return methods[0]
    if design.pool.method in methods:
        return str(design.pool.method)
    if design.pool.method is None:
        raise PrunescopeError(
            f"the run explains by several methods ({', '.join(methods)}): set pool.method in the design to one"
        )
    near = did_you_mean(design.pool.method, methods)
    raise PrunescopeError(
        f"pool.method: the run has no maps of {design.pool.method!r}{near}; there are: {', '.join(methods)}"
    )


def choose_images(stimuli: Stimuli, networks: Sequence[str], kinds: Sequence[str], design: Design) -> Chosen:
    """Draw the same number of images of each class, which every network explains in every way that is asked about.

    Raises:
        PrunescopeError: a class has too few of them.
    """
    asked = stimuli.explained[
        stimuli.explained["network"].isin(networks) & stimuli.explained["kind"].isin(kinds)
    ]
    images = asked.groupby(["class", "image"], sort=True)["usable"].agg(["size", "all"])
    whole = images[images["all"] & (images["size"] == len(networks) * len(kinds))]
    rng = np.random.default_rng([design.seed, 0])
    order = {
        str(name): rng.permutation(own.index.get_level_values("image").to_numpy(dtype=object)).tolist()
        for name, own in whole.groupby("class", sort=True)
    }
    classes = [str(name) for name in images.index.get_level_values("class").unique()]
    count = design.pool.images_per_class
    short = [name for name in classes if len(order.get(name, ())) < count]
    if short:
        raise _too_few(short, {name: len(order.get(name, ())) for name in classes}, asked, count)
    main = [(image, name) for name in classes for image in order[name][:count]]
    rest = {name: order[name][count:] for name in rng.permutation(np.array(classes, dtype=object)).tolist()}
    longest = max(map(len, rest.values()))
    spare = [(own[place], name) for place in range(longest) for name, own in rest.items() if place < len(own)]
    return Chosen(main, spare, classes, len(images) - len(whole))


def _too_few(short: list[str], there: dict[str, int], asked: pd.DataFrame, count: int) -> PrunescopeError:
    explained = asked.groupby("class")["image"].nunique()
    shown = [
        f"{there[name]} of {explained[name]} of {name}" for name in sorted(short, key=there.__getitem__)[:3]
    ]
    usable = asked.groupby("network", sort=False)["usable"].mean()
    least = min(there.values())
    lower = f"set it to at most {least}, " if least else ""
    return PrunescopeError(
        f"pool.images_per_class: {count} images of a class are asked for, of which every network has a map that is not "
        f"empty and, unless pool.rightly_named is false, which every network names rightly. Of the images that the run "
        f"explains, such are {', '.join(shown)}{' …' if len(short) > 3 else ''}; {usable.idxmin()} alone has "
        f"{usable.min():.0%}: {lower}leave out networks (pool.networks), or have the study explain more images "
        "(`limit` of its measure `explanations`)"
    )


def split_spare(chosen: Chosen, design: Design, catch: int) -> tuple[list[Image], list[Image]]:
    """Return images for practice and for up to so many catch trials, none of which is asked about.

    Raises:
        PrunescopeError: there are too few.
    """
    practice, rest = chosen.spare[: design.practice], chosen.spare[design.practice :]
    if len(rest) < design.catch or len(practice) < design.practice:
        raise PrunescopeError(
            f"practice and catch: {design.practice} practice tasks and {design.catch} catch trials need as many images "
            f"that are not asked about otherwise, and {len(chosen.spare)} are left: set pool.images_per_class lower, "
            "or have the study explain more images (`limit` of its measure `explanations`)"
        )
    return practice, rest[:catch]


def original(stimuli: Stimuli, image: str, pictures: FrozenPictures) -> str:
    """Return the name, in the experiment, of the whole photograph."""
    if image not in stimuli.originals:
        raise PrunescopeError(f"{stimuli.folder / LIST} lists no photograph of {image}: {AGAIN}")
    return pictures.add_file(stimuli.originals[image])


def left_out_note(chosen: Chosen) -> list[str]:
    """Say how many images were left out, if any."""
    if not chosen.left_out:
        return []
    return [
        f"{chosen.left_out} explained images were left out: some network's map of them is empty, missing "
        "or of another class, or it names them wrongly."
    ]
