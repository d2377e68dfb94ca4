"""What a person or another tool reads."""
