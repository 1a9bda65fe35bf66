"""The catalogue: one file per architecture, each with `build() -> Graph`; a new file is found by its name."""
