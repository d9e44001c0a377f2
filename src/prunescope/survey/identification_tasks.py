"""Tasks that show only what an explanation leaves of a photograph, and ask what is on it."""

from __future__ import annotations

from prunescope.survey.design import Design
from prunescope.survey.drawn import CATCH_POOL, Drawn, Task
from prunescope.survey.explained_images import (
    STIMULUS,
    Image,
    choose_images,
    left_out_note,
    original,
    read_stimuli,
    split_spare,
)
from prunescope.survey.frozen_pictures import FrozenPictures
from prunescope.survey.run_folder import RunFolder

KIND = "map"


def draw_identification_tasks(run: RunFolder, design: Design, pictures: FrozenPictures) -> Drawn:
    """Draw tasks: one network's explanation map of a photograph; the same photographs for all networks.

    Catch trials and practice show whole photographs of other images, which anyone can name: catch trials find who
    does not look, and practice teaches what the classes are called. A participant sees no photograph twice.

    Raises:
        PrunescopeError: the run has no stimuli, no such network, or too few images.

    *Source:* Merkle, Weber, Schöttle, Schlögl & Nocker, Less is More: The Influence of Pruning on the Explainability
    of CNNs, 2025, experiment 2. *Differs:* catch trials and practice, which it does not have.
    """
    stimuli = read_stimuli(run, design)
    networks = run.networks(
        design.pool.networks, stimuli.explained["network"].unique().tolist(), "explanations"
    )
    chosen = choose_images(stimuli, networks, [KIND], design)
    practice, catch = split_spare(chosen, design, CATCH_POOL * design.catch)
    files = stimuli.files(KIND)

    def explained(network: str, image: Image) -> Task:
        shown = pictures.add_file(files[network, image[0]])
        return _task(image, shown) | {"network": network, "condition": network}

    def whole(image: Image) -> Task:
        return _task(image, original(stimuli, image[0], pictures))

    return Drawn(
        [explained(network, image) for network in networks for image in chosen.main],
        [whole(image) for image in catch],
        [whole(image) for image in practice],
        networks,
        once=("image",),
        group=("class",),
        thing="image",
        more="pool.images_per_class",
        classes=chosen.classes,
        notes=left_out_note(chosen),
        counts={"images": len(chosen.main), "images left out": chosen.left_out},
    )


def _task(image: Image, shown: str) -> Task:
    return {
        "stimulus": STIMULUS[KIND],
        "pictures": {"map": [shown]},
        "right": image[1],
        "image": image[0],
        "class": image[1],
    }
