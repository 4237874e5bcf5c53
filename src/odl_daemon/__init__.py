"""odl-daemon: offline download for Seafile."""

__version__ = "0.1.0"
