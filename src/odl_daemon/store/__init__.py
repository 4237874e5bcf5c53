"""The table: the one queue, and the only truth about a task."""

from odl_daemon.store.sql import SqlStore

__all__ = ["SqlStore"]
