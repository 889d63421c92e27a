"""Plain data → what people read in a terminal. Results go to stdout, progress to stderr."""

from deploy.output.archive import show_groups, show_outcome, show_report
from deploy.output.batch import show_counts, show_table, size_text
from deploy.output.console import console
from deploy.output.plans import show_plan, show_rollback, show_status
from deploy.output.progress import Reporter
from deploy.output.reconcile import show_differences, show_differences_json
from deploy.output.rows import show_json, show_push, show_reply, show_rows
from deploy.output.upkeep import show_changed, show_drift

__all__ = [
    "Reporter",
    "console",
    "show_changed",
    "show_counts",
    "show_differences",
    "show_differences_json",
    "show_drift",
    "show_groups",
    "show_json",
    "show_outcome",
    "show_plan",
    "show_push",
    "show_reply",
    "show_report",
    "show_rollback",
    "show_rows",
    "show_status",
    "show_table",
    "size_text",
]
