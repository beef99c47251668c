"""Workflows: defined in Python, stored as rows, moved by the database."""
