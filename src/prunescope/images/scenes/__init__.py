"""The embedded images: drawn objects in drawn scenes, with the concepts of every pixel known."""

from prunescope.images.scenes.concepts import CLASSES, CONCEPTS
from prunescope.images.scenes.render import Scene, render
from prunescope.images.scenes.source import VERSION, scenes

__all__ = ["CLASSES", "CONCEPTS", "VERSION", "Scene", "render", "scenes"]
