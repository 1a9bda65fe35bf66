"""Choices among equivalent rules: named gauges, unit scale, Gaussian constants."""
