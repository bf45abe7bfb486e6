"""Tests of matomo_fn.config."""
