"""Small folders of annotated images, written by tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from prunescope.images.concepts import Annotation, ConceptSet


def write_png(path: Path, pixels: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_masks(root: Path, masks: dict[str, object]) -> Path:
    """Write images of noise, each with the given mask."""
    for seed, (stem, mask) in enumerate(masks.items()):
        height, width = np.shape(mask)[:2]
        write_png(root / "images" / f"{stem}.png", noise(height, width, seed))
        write_png(root / "masks" / f"{stem}.png", mask)
    return root


def write_textures(root: Path, names: tuple[str, ...] = ("dotted", "striped"), each: int = 2) -> Path:
    for k, name in enumerate(names):
        for i in range(each):
            write_png(root / name / f"{name}_{i}.png", noise(6, 9, 10 * k + i))
    return root


def write_broden_by_hand(root: Path) -> Path:
    """Write what the format's description says, two images and five labels, without the writer under test."""
    write_png(root / "images" / "town" / "a.png", noise(4, 6, 1))
    write_png(root / "images" / "dtd" / "b.png", noise(5, 5, 2))
    labels = np.array([[1, 1, 300], [0, 2, 2]])
    write_png(
        root / "images" / "town" / "a_object.png", np.stack([labels % 256, labels // 256, 0 * labels], 2)
    )
    part = np.zeros((2, 3, 3), np.uint8)
    part[0, 1, 0] = 2
    write_png(root / "images" / "town" / "a_part_0.png", part)
    part[0, 1, 0] = 4
    write_png(root / "images" / "town" / "a_part_1.png", part)
    texts = {
        "index.csv": "image,split,ih,iw,sh,sw,object,part,scene,texture\n"
        "town/a.png,train,4,6,2,3,town/a_object.png,town/a_part_0.png;town/a_part_1.png,3,\n"
        "dtd/b.png,val,5,5,5,5,,,,5;2\n",
        "category.csv": "name,first,last,count,frequency\nobject,1,300,3,1\npart,2,4,2,1\nscene,3,3,1,1\n"
        "texture,2,5,2,1\n",
        "label.csv": "number,name,category,frequency,coverage,syns\n1,car,object(1),1,.3,\n"
        '2,wood,object(1);part(1);texture(1),3,.3,"timber;planks"\n3,town-s,scene(1),1,1,\n4,wheel,part(1),1,.1,\n'
        "5,dotted,texture(1),1,1,\n300,tree,object(1),1,.1,\n",
        "c_object.csv": "code,number,name,frequency,coverage\n1,1,car,1,.3\n2,2,wood,1,.3\n3,300,tree,1,.1\n",
        "c_part.csv": "code,number,name,frequency,coverage\n1,2,wood,1,.1\n2,4,wheel,1,.1\n",
        "c_scene.csv": "code,number,name,frequency,coverage\n1,3,town-s,1,1\n",
        "c_texture.csv": "code,number,name,frequency,coverage\n1,5,dotted,1,1\n2,2,wood,1,1\n",
    }
    for name, text in texts.items():
        (root / name).write_text(text)
    return root


def in_words(concepts: ConceptSet, found: Annotation) -> dict[str, object]:
    """Return an annotation by the names of its concepts, comparable between sets that number them otherwise."""
    names = np.array([("", ""), *((c.category, c.name) for c in concepts.concepts)])
    masks = {category: names[mask][..., 1].tolist() for category, mask in found.masks.items()}
    for category, mask in found.masks.items():
        assert set(names[mask][..., 0].ravel()) <= {"", category}
    labels = {
        category: sorted(concepts.concepts[c].name for c in numbers)
        for category, numbers in found.labels.items()
    }
    assert all(concepts.concepts[c].category == k for k, cs in found.labels.items() for c in cs)
    return {"masks": masks, "labels": labels, "size": found.size}
