"""Random architectures: derived, verified, and made smaller where they fail."""
