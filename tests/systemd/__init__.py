"""Tests of the service in a Debian machine with its own systemd (root; `make test-systemd`)."""
