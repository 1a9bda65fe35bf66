"""From a record to a sketch of the graph, operation by operation."""
