"""Tests of raw visits: from the recordings to the tables."""
