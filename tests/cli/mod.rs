//! Verbs, exit codes, bad inputs, runs and repeated runs.

mod bench;
mod data;
mod edits;
mod files;
mod models;
mod runs;
mod verbs;
