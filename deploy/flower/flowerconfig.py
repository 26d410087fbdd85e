"""Flower of a cluster: behind a password, and a view only. Flower reads this file; the names are its options."""

import os
from pathlib import Path

from packhouse.worker.flower import format_task, tasks_columns

__all__ = ["format_task", "tasks_columns"]

_login = Path(os.environ.get("FLOWER_BASIC_AUTH_FILE", "/run/secrets/flower-basic-auth"))
basic_auth = [_login.read_text("utf-8").strip()]
read_only = True
persistent = True
db = os.environ.get("FLOWER_DB", "/var/lib/flower/flower")
state_save_interval = 2000
max_tasks = 10000
