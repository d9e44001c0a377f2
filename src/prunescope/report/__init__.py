"""From the tables of a study to a page and figures."""
