"""One attempt, and many of them."""
