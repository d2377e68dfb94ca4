"""Reserve, execute, commit: permission and budget for every action."""
