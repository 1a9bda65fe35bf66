"""A live model: its parameters matched, drawn, scaled and grouped."""
