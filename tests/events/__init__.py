"""Tests of the events on their way into Matomo."""
