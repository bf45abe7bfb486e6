"""Tests of the fake Matomo."""
