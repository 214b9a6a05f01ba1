//! The program from outside: every test runs the built binary in a folder of its own.
