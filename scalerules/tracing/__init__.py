"""From a torch module to a record of its computation with symbolic sizes, and from the record to a graph."""
