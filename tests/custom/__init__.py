"""Tests of custom reports, from the configuration to the tables."""
