//! What a run has for as long as the program runs, whatever pipeline is up: the store, its lock, the ear for Ctrl-C.

use super::interrupt::Interrupt;
use super::{Args, Store};
use crate::Catalog;
use crate::halt::Halt;

/// The surroundings of runs. Nobody else runs from the store until it is dropped.
pub(crate) struct Host<'a> {
    /// The operators.
    pub(crate) catalog: Catalog<'a>,
    /// The command line.
    pub(crate) args: &'a Args,
    /// The same as it was typed.
    pub(crate) command: &'a str,
    /// The answers.
    pub(crate) store: Store,
    /// Whether a stop was asked for.
    pub(crate) interrupt: Interrupt,
}

impl<'a> Host<'a> {
    /// Opens the store and begins to listen; once in a process.
    pub(crate) fn open(catalog: Catalog<'a>, args: &'a Args, command: &'a str) -> Result<Self, Halt> {
        let store = Store::open(&args.store, command)?;
        Ok(Self { catalog, args, command, store, interrupt: Interrupt::listen()? })
    }
}
