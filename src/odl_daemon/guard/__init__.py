"""Who of ours may connect to what: everything that a stranger's link leads to goes through here."""
