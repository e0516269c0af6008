"""The build worker: git commit -> files -> deploy -> publish."""
