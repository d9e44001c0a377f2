"""Attributions of what a network says to the pixels it looks at, and what maps of them are worth."""
