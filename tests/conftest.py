"""Settings that all tests share."""

from hypothesis import settings

# A noisy machine must not decide whether a property holds.
settings.register_profile("scalerules", deadline=None)
settings.load_profile("scalerules")
