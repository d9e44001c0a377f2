"""A network with named layers and units."""
