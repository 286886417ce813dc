//! The test kit: what the tests under this folder share.
