"""Scores, selection, masks that hold, and what they leave."""
