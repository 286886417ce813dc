//! Token counters and summarizers. Never opens a tree.
