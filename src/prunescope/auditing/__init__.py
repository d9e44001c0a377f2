"""Two networks compared, whoever made them."""
