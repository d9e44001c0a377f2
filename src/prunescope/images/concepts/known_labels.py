"""What the values of well-known masks mean, and which value is void (not annotated)."""

from __future__ import annotations

from dataclasses import dataclass

VOID = 255


@dataclass(frozen=True)
class KnownLabels:
    """The names of mask values in order, the first value that has one, and the value for void."""

    names: tuple[str, ...]
    first: int
    void: int


# Everingham et al. 2010, The PASCAL Visual Object Classes Challenge; value 0 is the background: nothing.
VOC = KnownLabels(
    (
        "aeroplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "dining table",
        "dog",
        "horse",
        "motorbike",
        "person",
        "potted plant",
        "sheep",
        "sofa",
        "train",
        "tv monitor",
    ),
    first=1,
    void=VOID,
)
# Brostow et al. 2009, CamVid, in the eleven classes of Badrinarayanan et al. 2017, SegNet.
CAMVID = KnownLabels(
    (
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    first=0,
    void=11,
)
KNOWN_LABELS = {"voc": VOC, "camvid": CAMVID}
