"""Programs that feed the code what nobody would send, and say what must hold all the same: docs/fuzzing.md."""
