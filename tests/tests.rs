//! The program from outside: every test runs the built binary in a folder of its own.

#![allow(clippy::print_stderr, reason = "a test that skips must say so")]

mod cli;
mod faulty;
mod golden;
