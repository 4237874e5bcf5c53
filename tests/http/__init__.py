# ruff: noqa: A005  # nobody imports it by that name alone
