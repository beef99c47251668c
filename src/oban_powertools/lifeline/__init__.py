"""The lifeline: which executors live, and what becomes of the jobs of those that do not."""

from .executors import ExecutorHealth, ExecutorState
from .lifeline import Lifeline

__all__ = ["ExecutorHealth", "ExecutorState", "Lifeline"]
