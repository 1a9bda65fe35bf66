"""From a module to a record: exported at several sizes, numbers unified to lengths."""
