"""Workflows: defined in Python, stored as rows, moved by the database."""

from .handle import WorkflowHandle
from .workflows import Workflows

__all__ = ["WorkflowHandle", "Workflows"]
