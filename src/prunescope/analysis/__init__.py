"""Questions answered from tables alone."""
