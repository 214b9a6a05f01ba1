//! Verbs, exit codes, bad inputs, runs and repeated runs.

pub(crate) mod bench;
mod branches;
mod chats;
mod command;
mod data;
mod doctor;
mod draws;
mod edits;
mod files;
mod held_out;
mod keys;
mod models;
mod plans;
mod precision;
mod processes;
mod programs;
mod replay;
mod report;
mod runs;
mod servers;
mod store;
mod trainings;
mod verbs;
mod verify;
mod watch;
