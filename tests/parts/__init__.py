"""Real components for tests. Each module starts one, or skips the test and says why it cannot."""
