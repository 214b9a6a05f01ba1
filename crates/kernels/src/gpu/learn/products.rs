//! Launchers of products: of two matrices, of the rows of groups with a matrix each, and of the rows of each group with each other.

use super::super::{Argument, Buffer, DeviceError, Gpu, Indices, word};
use super::WIDE;
use super::library::LibraryProduct;

/// Rows and columns of a block's tile.
const TILE: [usize; 2] = [128, 64];

/// How a matrix that a product reads is stored: as it is, or its transpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// As it is, row after row.
    Plain,
    /// Column after column.
    Transposed,
}

/// What the operands of a product are rounded to before they are multiplied; sums are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Nothing.
    None,
    /// The nearest bf16, to even of two.
    Bf16,
}

/// Which rows belong to which group, an expert say: from one start to the next.
#[derive(Debug)]
pub struct Groups {
    starts: Indices,
    bounds: Vec<usize>,
}

impl Groups {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Rows of all.
    fn rows(&self) -> usize {
        self.bounds[self.count()]
    }

    /// Of each that has rows its number, its first row, and how many these are.
    fn filled(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let each = self.bounds.windows(2).enumerate().map(|(e, ends)| (e, ends[0], ends[1] - ends[0]));
        each.filter(|(_, _, rows)| *rows > 0)
    }
}

/// What groups share out in a product, as the kernel numbers it: nothing, the rows of a and out, or the depth.
#[derive(Clone, Copy)]
enum Sharing {
    Nothing = 0,
    Rows = 1,
    Depth = 2,
}

/// What the kernel is asked for: extents of one product, operands, and which rows or how much depth the groups have.
struct Asked<'a> {
    dims: [usize; 3],
    a: (Argument, Stored),
    b: (Argument, Stored),
    rounding: Rounding,
    out: Argument,
    groups: Option<(&'a Groups, Sharing)>,
}

impl Gpu {
    /// Groups of rows, one after another: `starts` of each, then the end of the last.
    ///
    /// # Errors
    /// There is not so much memory, or the device fails.
    ///
    /// # Panics
    /// `starts` do not ascend from 0.
    pub fn groups(&mut self, starts: &[usize]) -> Result<Groups, DeviceError> {
        assert!(starts.first() == Some(&0) && starts.is_sorted(), "groups begin at 0 and ascend");
        let number = |start: &usize| u32::try_from(*start).expect("rows are fewer than 2^32");
        let mut on = self.indices()?;
        self.index(&mut on, &starts.iter().map(number).collect::<Vec<_>>())?;
        Ok(Groups { starts: on, bounds: starts.to_vec() })
    }

    /// `out` (m, n) `= a` (m, k) `· b` (k, n).
    ///
    /// # Errors
    /// The device fails.
    pub fn product(
        &mut self,
        [m, k, n]: [usize; 3],
        a: (&Buffer<f32>, Stored),
        b: (&Buffer<f32>, Stored),
        rounding: Rounding,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let dims = [m, k, n];
        let (a_place, b_place) = (self.place_in(a.0, 0, m * k), self.place_in(b.0, 0, k * n));
        let out_place = self.place_in(out, 0, m * n);
        let product = LibraryProduct { dims, a: (a_place, a.1), b: (b_place, b.1), out: out_place, rounding };
        if let Some(done) = self.in_library(&[product]) {
            return done;
        }
        let (a, b) = ((self.given(a.0, m * k), a.1), (self.given(b.0, k * n), b.1));
        self.own_product(&Asked { dims, a, b, rounding, out: self.given(out, m * n), groups: None })
    }

    /// `out[v]` (n) `= a[v]` (k) `· b[e]` (k, n) for each row v of group e; the matrices of `b` lie one after another.
    ///
    /// # Errors
    /// The device fails.
    pub fn product_by_group(
        &mut self,
        groups: &Groups,
        [k, n]: [usize; 2],
        a: &Buffer<f32>,
        b: (&Buffer<f32>, Stored),
        rounding: Rounding,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let rows = groups.rows();
        let given = (self.given(a, rows * k), self.given(b.0, groups.count() * k * n));
        let to = self.given(out, rows * n);
        let product = |(e, first, rows): (usize, usize, usize)| LibraryProduct {
            dims: [rows, k, n],
            a: (self.place_in(a, first * k, rows * k), Stored::Plain),
            b: (self.place_in(b.0, e * k * n, k * n), b.1),
            out: self.place_in(out, first * n, rows * n),
            rounding,
        };
        let products: Vec<_> = groups.filled().map(product).collect();
        if let Some(done) = self.in_library(&products) {
            return done;
        }
        let (a, b) = ((given.0, Stored::Plain), (given.1, b.1));
        let most = groups.filled().map(|(_, _, rows)| rows).max().unwrap_or(0);
        let groups = Some((groups, Sharing::Rows));
        self.own_product(&Asked { dims: [most, k, n], a, b, rounding, out: to, groups })
    }

    /// `out[e]` (m, n) `= Σ a[v]ᵀ` (m) `· b[v]` (n) over the rows v of group e; zeros where it has none.
    ///
    /// # Errors
    /// The device fails.
    pub fn product_over_groups(
        &mut self,
        groups: &Groups,
        [m, n]: [usize; 2],
        a: &Buffer<f32>,
        b: &Buffer<f32>,
        rounding: Rounding,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let rows = groups.rows();
        let given = [self.given(a, rows * m), self.given(b, rows * n)];
        let to = self.given(out, groups.count() * m * n);
        let product = |(e, first, rows): (usize, usize, usize)| LibraryProduct {
            dims: [m, rows, n],
            a: (self.place_in(a, first * m, rows * m), Stored::Transposed),
            b: (self.place_in(b, first * n, rows * n), Stored::Plain),
            out: self.place_in(out, e * m * n, m * n),
            rounding,
        };
        let products: Vec<_> = groups.filled().map(product).collect();
        if let Some(done) = self.in_library(&products) {
            done?;
            return self.clear_unfilled(groups, m * n, out);
        }
        let (a, b) = ((given[0], Stored::Transposed), (given[1], Stored::Plain));
        let groups = Some((groups, Sharing::Depth));
        self.own_product(&Asked { dims: [m, rows, n], a, b, rounding, out: to, groups })
    }

    /// Makes the `len` numbers zeros that belong to each group without rows.
    fn clear_unfilled(
        &mut self,
        groups: &Groups,
        len: usize,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        for e in (0..groups.count()).filter(|e| groups.bounds[*e] == groups.bounds[e + 1]) {
            let place = self.place_in(out, e * len, len);
            let arguments = [
                Argument::Address(0, 0),
                Argument::Address(place.at.0, place.bytes),
                Argument::Long(len as u64),
            ];
            self.launch("add_rows", [len.div_ceil(WIDE as usize), 1, 1], WIDE, &arguments)?;
        }
        Ok(())
    }

    /// A product by our kernel.
    fn own_product(&mut self, asked: &Asked<'_>) -> Result<(), DeviceError> {
        let [m, k, n] = asked.dims;
        let (starts, sharing, count) = match asked.groups {
            None => (Argument::Address(0, 0), Sharing::Nothing, 1),
            Some((groups, sharing)) => {
                (self.below(&groups.starts, groups.count() + 1, groups.rows() + 1), sharing, groups.count())
            }
        };
        let transposed = |stored| word(usize::from(stored == Stored::Transposed));
        let arguments = [
            asked.a.0,
            transposed(asked.a.1),
            asked.b.0,
            transposed(asked.b.1),
            word(m),
            word(k),
            word(n),
            starts,
            word(sharing as usize),
            word(usize::from(asked.rounding == Rounding::Bf16)),
            asked.out,
        ];
        self.launch("learn_product", [n.div_ceil(TILE[1]), m.div_ceil(TILE[0]), count], WIDE, &arguments)
    }
}
