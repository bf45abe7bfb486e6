"""Tests of the sample Matomo."""
