"""Workflows: defined in Python, stored as rows, moved by the database."""

from .workflows import WorkflowHandle, Workflows

__all__ = ["WorkflowHandle", "Workflows"]
