"""The graph being made: axes that may still join, values, nodes."""
