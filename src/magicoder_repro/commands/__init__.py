"""The commands, by what they work on. A module imports what is heavy inside a command: `magicoder --help` waits for none of it."""
