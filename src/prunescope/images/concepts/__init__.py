"""Images whose pixels are named: objects, parts, materials, scenes, textures, colours."""

from prunescope.images.concepts.broden_writer import write_broden
from prunescope.images.concepts.concept_set import Annotation, Concept, ConceptSet
from prunescope.images.concepts.joined import open_concepts
from prunescope.images.concepts.label_maps import LabelMaps, label_maps

__all__ = [
    "Annotation",
    "Concept",
    "ConceptSet",
    "LabelMaps",
    "label_maps",
    "open_concepts",
    "write_broden",
]
