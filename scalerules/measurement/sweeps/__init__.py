"""Sweeps over learning rates at several sizes: does the optimum stay?"""
