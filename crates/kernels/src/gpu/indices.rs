//! Numbers that kernels take for places: looked at on the host, so that no kernel is led beyond a buffer.

use super::{Argument, Buffer, DeviceError, Gpu};
use crate::paged::BLOCK;
use crate::route::Routing;

/// Indices on a device, and what all of them are below.
#[derive(Debug)]
pub struct Indices {
    pub(super) numbers: Buffer<u32>,
    /// How many of them hold indices.
    pub(super) len: usize,
    pub(super) below: usize,
}

/// Where the rows of a step stand in their sequences, and the blocks of these, on a device.
#[derive(Debug)]
pub struct Placed {
    pub(super) positions: Indices,
    /// Where the blocks of each row's sequence begin in `tables`.
    pub(super) table_of: Indices,
    pub(super) tables: Indices,
}

/// How the rows of a step choose among the experts of a mixture, on a device.
#[derive(Debug)]
pub struct Routings {
    pub(super) choices: Buffer<u8>,
    pub(super) rows: usize,
    /// Experts that there are.
    pub(super) count: usize,
    /// Most experts that one row visits.
    pub(super) most: usize,
}

impl Routings {
    /// Most experts that one row visits.
    pub fn most(&self) -> usize {
        self.most
    }
}

/// Bytes of one routing, as the kernel takes it.
const ROUTING: usize = 16;

impl Gpu {
    /// No indices.
    ///
    /// # Errors
    /// There is no memory.
    pub fn indices(&mut self) -> Result<Indices, DeviceError> {
        Ok(Indices { numbers: self.allocate(0)?, len: 0, below: 0 })
    }

    /// Makes `to` the indices `numbers`.
    ///
    /// # Errors
    /// There is not so much memory, or the device fails.
    pub fn index(&mut self, to: &mut Indices, numbers: &[u32]) -> Result<(), DeviceError> {
        to.len = 0;
        self.put(&mut to.numbers, numbers)?;
        to.len = numbers.len();
        to.below = numbers.iter().max().map_or(0, |most| *most as usize + 1);
        Ok(())
    }

    /// The numbers of `indices`.
    ///
    /// # Errors
    /// The device fails, or failed in what came before.
    pub fn read_indices(&mut self, indices: &Indices) -> Result<Vec<u32>, DeviceError> {
        self.read(&indices.numbers, 0, indices.len)
    }

    /// The first `len` of `indices` as an argument.
    ///
    /// # Panics
    /// There are fewer, or one is not below `below`.
    pub(super) fn below(&self, indices: &Indices, len: usize, below: usize) -> Argument {
        assert!(indices.len >= len, "{} indices, {len} are needed", indices.len);
        assert!(indices.below <= below, "an index below {}, not {below}", indices.below);
        self.given(&indices.numbers, len)
    }

    /// No rows.
    ///
    /// # Errors
    /// There is no memory.
    pub fn placed(&mut self) -> Result<Placed, DeviceError> {
        Ok(Placed { positions: self.indices()?, table_of: self.indices()?, tables: self.indices()? })
    }

    /// Says of each row its position, and where in `tables` the blocks of its sequence begin, each with its number in the cache.
    ///
    /// # Errors
    /// There is not so much memory, or the device fails.
    ///
    /// # Panics
    /// A row's position is in no block of `tables`.
    pub fn put_placed(
        &mut self,
        to: &mut Placed,
        positions: &[u32],
        table_of: &[u32],
        tables: &[u32],
    ) -> Result<(), DeviceError> {
        let held =
            |(&position, &start): (&u32, &u32)| start as usize + position as usize / BLOCK < tables.len();
        assert!(positions.len() == table_of.len() && positions.iter().zip(table_of).all(held));
        // Where one of these fails, the rows before must not be taken for those of other tables.
        to.positions.len = 0;
        self.index(&mut to.table_of, table_of)?;
        self.index(&mut to.tables, tables)?;
        self.index(&mut to.positions, positions)
    }

    /// No routings.
    ///
    /// # Errors
    /// There is no memory.
    pub fn routings(&mut self) -> Result<Routings, DeviceError> {
        Ok(Routings { choices: self.allocate(0)?, rows: 0, count: 0, most: 0 })
    }

    /// Says how each row chooses among `count` experts.
    ///
    /// # Errors
    /// There is not so much memory, or the device fails.
    pub fn put_routings(
        &mut self,
        to: &mut Routings,
        rows: impl IntoIterator<Item = Routing>,
        count: usize,
    ) -> Result<(), DeviceError> {
        let (mut bytes, mut most) = (Vec::new(), 1);
        for routing in rows {
            let (least, kind, number) = match routing {
                Routing::TopK(number) => (0.0, 0u32, number.clamp(1, count)),
                Routing::Rank(rank) => (0.0, 1, rank.clamp(1, count)),
                Routing::TopP(least) => (least, 2, count),
            };
            most = most.max(if kind == 1 { 1 } else { number });
            bytes.extend(f64::to_le_bytes(least));
            bytes.extend(kind.to_le_bytes());
            bytes.extend((number as u32).to_le_bytes());
        }
        to.rows = 0;
        self.put(&mut to.choices, &bytes)?;
        (to.rows, to.count, to.most) = (bytes.len() / ROUTING, count, most);
        Ok(())
    }
}
