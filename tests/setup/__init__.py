"""Tests of what an installation is made of: the service unit, the set-up scripts, the test servers."""
