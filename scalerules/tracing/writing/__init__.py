"""From a sketch to a graph: names, repeated blocks, free factors."""
