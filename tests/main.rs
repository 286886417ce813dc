//! Every integration test of Treering, one binary.
