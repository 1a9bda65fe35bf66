"""What carries a solution out of the engine: a package each, found by its name."""
