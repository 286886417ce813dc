//! Compaction: measure, plan, summarize, land.
