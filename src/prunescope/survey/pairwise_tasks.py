"""Tasks that compare two networks' explanations of the same photograph."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from prunescope.errors import PrunescopeError, did_you_mean, some
from prunescope.survey.design import Design
from prunescope.survey.drawn import CATCH_POOL, Drawn, Task
from prunescope.survey.explained_images import (
    STIMULUS,
    Image,
    Stimuli,
    choose_images,
    left_out_note,
    original,
    read_stimuli,
    split_spare,
)
from prunescope.survey.frozen_pictures import FrozenPictures
from prunescope.survey.run_folder import RunFolder

Pair = tuple[str, str]  # the less pruned network and the more pruned one


def draw_pairwise_tasks(run: RunFolder, design: Design, pictures: FrozenPictures) -> Drawn:
    """Draw tasks: a photograph, and the explanations of it by two networks; the same photographs for all pairs.

    In catch trials and practice, one side explains this photograph and the other one shows a photograph of another
    class: under a heat map by the same network, or, where explanation maps are asked about, whole. A map moved here
    from elsewhere, or noise, would not do: a real map may be poor, and then either answer can be meant. That the other
    side shows another photograph is plain to everyone who looks; of a few pieces of it, it would not be.

    Raises:
        PrunescopeError: the run has no stimuli, no such network, or too few images.

    *Source:* Merkle, Weber, Schöttle, Schlögl & Nocker, Less is More: The Influence of Pruning on the Explainability
    of CNNs, 2025, experiment 1. *Differs:* catch trials and practice, which it does not have.
    """
    stimuli = read_stimuli(run, design)
    pairs = _pairs(run, design, stimuli.explained["network"].unique().tolist())
    networks = [name for name in run.results.networks["network"] if any(name in pair for pair in pairs)]
    chosen = choose_images(stimuli, networks, design.pool.stimuli, design)
    practice, catch = split_spare(chosen, design, CATCH_POOL * design.catch)
    make = _Maker(stimuli, pictures)
    least = min(networks, key=run.rate_of)
    main = [
        make.main(pair, image, kind)
        for kind in design.pool.stimuli
        for pair in pairs
        for image in chosen.main
    ]
    return Drawn(
        main,
        make.obvious(catch, least, design.pool.stimuli, chosen.spare),
        make.obvious(practice, least, design.pool.stimuli, chosen.spare),
        networks,
        once=("image",),
        group=("class",),
        thing="image",
        more="pool.images_per_class",
        classes=chosen.classes,
        notes=left_out_note(chosen),
        counts={"images": len(chosen.main), "images left out": chosen.left_out},
    )


def _pairs(run: RunFolder, design: Design, offered: Sequence[str]) -> list[Pair]:
    """Return the pairs of a design, or every network with the dense one of its seed."""
    if design.pool.pairs is not None:
        given = [_checked(pair, run, offered) for pair in design.pool.pairs]
        if len(set(given)) < len(given):
            raise PrunescopeError("pool.pairs: a pair is named twice: keep one")
        return given
    networks = run.networks(design.pool.networks, offered, "explanations")
    about = run.results.networks.set_index("network")
    dense = {about.loc[name, "seed"]: str(name) for name in offered if about.loc[name, "stage"] == "dense"}
    pairs = [
        (dense[about.loc[name, "seed"]], name)
        for name in networks
        if about.loc[name, "stage"] != "dense" and about.loc[name, "seed"] in dense
    ]
    if not pairs:
        raise PrunescopeError(
            f"there is no pair of a pruned network and the dense one of its seed among {some(networks)}: name the "
            "pairs in the design (pool: pairs: [[one, other]])"
        )
    return pairs


def _checked(pair: Pair, run: RunFolder, offered: Sequence[str]) -> Pair:
    """Return a pair with the less pruned network first."""
    for name in pair:
        if name not in offered:
            near = did_you_mean(name, offered)
            raise PrunescopeError(
                f"pool.pairs: the run has no explanations by {name!r}{near}; it has those of {some(list(offered))}"
            )
    if pair[0] == pair[1]:
        raise PrunescopeError(f"pool.pairs: {pair[0]} is paired with itself: name two networks")
    return pair if run.rate_of(pair[0]) <= run.rate_of(pair[1]) else (pair[1], pair[0])


class _Maker:
    """Makes tasks of the stimuli of a run."""

    def __init__(self, stimuli: Stimuli, pictures: FrozenPictures) -> None:
        self._stimuli, self._pictures = stimuli, pictures
        self._files = {kind: stimuli.files(kind) for kind in STIMULUS}

    def main(self, pair: Pair, image: Image, kind: str) -> Task:
        """Return the task to compare two networks."""
        one, other = pair
        sides = {"one": self._map(one, image[0], kind), "other": self._map(other, image[0], kind)}
        return self._task(image, kind, sides) | {"condition": f"{one} | {other}", "one": one, "other": other}

    def obvious(
        self, images: Sequence[Image], network: str, kinds: Sequence[str], others: Sequence[Image]
    ) -> list[Task]:
        """Return tasks in which one side shows another photograph, of another class."""
        tasks = []
        for place, (image, kind) in enumerate(zip(images, cycle(kinds), strict=False)):
            turned = [*others[place + 1 :], *others[:place]]
            another = next((each for each in turned if each[1] != image[1] and each != image), None)
            if another is None:
                raise PrunescopeError(
                    "catch trials and practice need images of at least two classes that are not asked about: have the "
                    "study explain more images (`limit` of its measure `explanations`)"
                )
            wrong = self._map(network, another[0], kind) if kind == "heat" else self._original(another[0])
            sides = {"one": self._map(network, image[0], kind), "other": wrong}
            tasks.append(self._task(image, kind, sides) | {"one": network, "other": network, "right": "one"})
        return tasks

    def _task(self, image: Image, kind: str, sides: dict[str, str]) -> Task:
        shown = {"original": [self._original(image[0])], **{slot: [name] for slot, name in sides.items()}}
        return {"stimulus": STIMULUS[kind], "pictures": shown, "image": image[0], "class": image[1]}

    def _map(self, network: str, image: str, kind: str) -> str:
        return self._pictures.add_file(self._files[kind][network, image])

    def _original(self, image: str) -> str:
        return original(self._stimuli, image, self._pictures)
