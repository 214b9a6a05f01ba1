//! What flows: identities, values, rows and the records they point at.
//!
//! A differential collection carries a [`Row`]: 36 bytes that say who a row is, what it says and which round it
//! belongs to. What it says, a record, rests once in the [`Heap`] and is looked up by its content hash, so
//! arrangements stay small however long the texts are.

mod cell;
mod columns;
mod heap;
mod id;
mod kinds;
mod record;
mod row;
mod value;

pub use cell::{Cell, Floats, Texts};
pub use columns::{Column, Columns, Type};
pub use heap::{Heap, HeapMemory};
pub use id::{Id, IdBits, IdHasher, IdMap, ParseIdError};
pub use kinds::{KINDS, Kind, kind};
pub use row::{Item, Round, Row};
pub use value::{DecodeError, Value, decode, encode};
