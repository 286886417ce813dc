//! Foreign session formats to and from entries.
