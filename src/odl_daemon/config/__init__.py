"""The settings: what there is to set, and how it is read."""

from __future__ import annotations

from odl_daemon.config.reading import ConfigError, find, load
from odl_daemon.config.settings import Config, Setting, settings_of

__all__ = ["Config", "ConfigError", "Setting", "find", "load", "settings_of"]
