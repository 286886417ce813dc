//! When to compact and where to cut: pure arithmetic over counts and envelopes.
