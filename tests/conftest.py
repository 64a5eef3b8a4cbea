"""What holds for all tests."""

from hypothesis import settings

settings.register_profile("cumulet", deadline=None)  # a busy machine is no finding
settings.load_profile("cumulet")
