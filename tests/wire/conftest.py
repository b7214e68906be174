"""Property tests without a clock: a busy machine is no failure, and nothing is left behind."""

from hypothesis import settings

settings.register_profile("house", deadline=None, database=None)
settings.load_profile("house")
