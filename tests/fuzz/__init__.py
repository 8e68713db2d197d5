"""Fuzzing: whole connections and sessions, fed with what no sane peer would send."""
