"""Flower of the stack on one machine: a view only, which outlives restarts. Flower reads this file."""

from packhouse.worker.flower import format_task, tasks_columns

__all__ = ["format_task", "tasks_columns"]

read_only = True
persistent = True
state_save_interval = 10_000
max_tasks = 10_000
