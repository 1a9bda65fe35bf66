"""Sizes measured in training, held against what was derived."""
