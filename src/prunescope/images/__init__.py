"""Labelled images by name: opened, decoded once, divided, and served in batches."""

from prunescope.images.source import ImageSet, open_images

__all__ = ["ImageSet", "open_images"]
