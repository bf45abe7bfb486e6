"""Faults, kills and repeated messages: whatever happens on the way, the tables come out the same."""
