"""Tests of everything that speaks to a Matomo."""
