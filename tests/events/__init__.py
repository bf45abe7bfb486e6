"""Tests of matomo_fn.events."""
