"""Tests of matomo_fn.app."""
