"""Published rules and fits as records, and how the engine's answers compare."""
