"""Published tables as runs of this program: recognised by their columns, so that all analyses take them."""
