"""The storage seam and its implementations."""
