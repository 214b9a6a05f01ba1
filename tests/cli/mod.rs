//! Verbs, exit codes, bad inputs, runs and repeated runs.

pub(crate) mod bench;
mod data;
mod edits;
mod files;
mod models;
mod programs;
mod replay;
mod runs;
mod verbs;
mod verify;
