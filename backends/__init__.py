"""What is derived, as running code: emitters, the scan, the interpreter; installed as scalerules.backends."""
