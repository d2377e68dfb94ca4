"""Canaries: marks in a tenant's data that nobody else can have, and how they are found again."""
