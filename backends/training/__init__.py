"""Graphs and modules trained as they are, with everything measured that a verification or a sweep asks for."""
