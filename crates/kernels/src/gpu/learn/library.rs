//! Products that a library of the device may do in the place of our kernel.
//!
//! Such libraries are column-major. A row-major matrix is its own transpose there, so that out = a · b is asked for as outᵀ = bᵀ · aᵀ, the
//! operands in the other order.

use super::super::{Address, Buffer, DeviceError, Gpu};
use super::{Rounding, Stored};

/// One product of matrices on a device, out = a · b; only this crate makes one.
#[derive(Clone, Copy, Debug)]
pub struct LibraryProduct {
    /// Rows of a, columns of a, columns of b; none is 0.
    pub(super) dims: [usize; 3],
    pub(super) a: (Place, Stored),
    pub(super) b: (Place, Stored),
    pub(super) out: Place,
    pub(super) rounding: Rounding,
}

/// Where a matrix lies, and its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) at: Address,
    pub(crate) bytes: usize,
}

/// A product as a library of column-major matrices takes it: C (m, n) = X (m, k) · Y (k, n) with X made of b and Y of a.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnMajor {
    /// Whether X and Y lie transposed.
    pub transposed: [bool; 2],
    /// m, n and k.
    pub dims: [usize; 3],
    /// From one column to the next, of X, Y and C as they lie.
    pub leading: [usize; 3],
}

impl LibraryProduct {
    /// The same product of column-major matrices.
    pub fn column_major(&self) -> ColumnMajor {
        let ([m, k, n], (a, b)) = (self.dims, (self.a.1, self.b.1));
        let leading = |stored, plain, transposed| match stored {
            Stored::Plain => plain,
            Stored::Transposed => transposed,
        };
        ColumnMajor {
            transposed: [b, a].map(|stored| stored == Stored::Transposed),
            dims: [n, m, k],
            leading: [leading(b, n, k), leading(a, k, m), n],
        }
    }

    /// What the operands are rounded to.
    pub fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// Where b, a and out lie: X, Y and C.
    pub(crate) fn places(&self) -> [Place; 3] {
        [self.b.0, self.a.0, self.out]
    }
}

impl Gpu {
    /// The place of `len` numbers of `buffer` from the number `from` on.
    pub(super) fn place_in(&self, buffer: &Buffer<f32>, from: usize, len: usize) -> Place {
        let begin = self.own(buffer, from + len).0;
        Place { at: Address(begin + 4 * from as u64), bytes: 4 * len }
    }

    /// What the device's library makes of all these products; `None` where there is none, or one of them is of nothing.
    pub(super) fn in_library(&mut self, products: &[LibraryProduct]) -> Option<Result<(), DeviceError>> {
        if !self.library || products.iter().any(|product| product.dims.contains(&0)) {
            return None;
        }
        for product in products {
            if let Err(error) = self.device.library_product(product)? {
                return Some(Err(error));
            }
        }
        Some(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::super::{Device, Launch};
    use super::*;

    /// A device whose library is a plain loop, and that has no kernel but the one that clears.
    #[derive(Default)]
    struct Plain {
        memory: BTreeMap<Address, Vec<f32>>,
        products: usize,
    }

    impl Plain {
        fn numbers(&mut self, place: Place) -> &mut [f32] {
            let (from, held) = self.memory.range_mut(..=place.at).next_back().expect("an allocation");
            let first = (place.at.0 - from.0) as usize / 4;
            &mut held[first..first + place.bytes / 4]
        }
    }

    impl Device for Plain {
        fn name(&self) -> String {
            "a plain loop".into()
        }

        fn free_bytes(&self) -> Option<usize> {
            None
        }

        fn allocate(&mut self, bytes: usize) -> Result<Address, DeviceError> {
            let end = self.memory.last_key_value().map_or(64, |(at, held)| at.0 + 4 * held.len() as u64 + 64);
            self.memory.insert(Address(end), vec![f32::NAN; bytes.div_ceil(4)]);
            Ok(Address(end))
        }

        fn free(&mut self, at: Address) {
            self.memory.remove(&at);
        }

        fn write(&mut self, at: Address, bytes: &[u8]) -> Result<(), DeviceError> {
            let numbers = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            let to = self.numbers(Place { at, bytes: bytes.len() });
            to.iter_mut().zip(numbers).for_each(|(to, number)| *to = number);
            Ok(())
        }

        fn read(&mut self, at: Address, bytes: &mut [u8]) -> Result<(), DeviceError> {
            let numbers = self.numbers(Place { at, bytes: bytes.len() });
            bytes.copy_from_slice(numbers.iter().map(|x| x.to_le_bytes()).collect::<Vec<_>>().as_flattened());
            Ok(())
        }

        fn launch(&mut self, launch: &Launch<'_>) -> Result<(), DeviceError> {
            let [_, super::super::super::Argument::Address(at, bytes), _] = *launch.arguments else {
                panic!("{} is not the kernel that clears", launch.kernel);
            };
            self.numbers(Place { at: Address(at), bytes }).fill(0.0);
            Ok(())
        }

        fn library_product(&mut self, product: &LibraryProduct) -> Option<Result<(), DeviceError>> {
            let ColumnMajor { transposed, dims: [m, n, k], leading } = product.column_major();
            let [x, y, c] = product.places();
            let (x, y) = (self.numbers(x).to_vec(), self.numbers(y).to_vec());
            let at = |matrix: &[f32], which: usize, row: usize, column: usize| {
                let (row, column) = if transposed[which] { (column, row) } else { (row, column) };
                matrix[column * leading[which] + row]
            };
            let out = self.numbers(c);
            for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
                out[column * leading[2] + row] =
                    (0..k).map(|i| at(&x, 0, row, i) * at(&y, 1, i, column)).sum();
            }
            self.products += 1;
            Some(Ok(()))
        }
    }

    /// Whole numbers, whose products and sums are exact.
    fn numbers(count: usize, factor: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * factor + 3) % 17) as f32 - 8.0).collect()
    }

    /// The number (row, column) of a matrix of `rows` by `columns`.
    fn of(matrix: &[f32], stored: Stored, [rows, columns]: [usize; 2], row: usize, column: usize) -> f32 {
        match stored {
            Stored::Plain => matrix[row * columns + column],
            Stored::Transposed => matrix[column * rows + row],
        }
    }

    const BOTH: [Stored; 2] = [Stored::Plain, Stored::Transposed];

    #[test]
    fn a_row_major_product_is_a_column_major_one_of_swapped_operands() {
        let (mut gpu, [m, k, n]) = (Gpu::new(Plain::default()), [3, 5, 2]);
        let (a, b) = (numbers(m * k, 5), numbers(k * n, 7));
        let (a_on, b_on) = (gpu.upload(&a).unwrap(), gpu.upload(&b).unwrap());
        for (a_stored, b_stored) in BOTH.into_iter().flat_map(|a| BOTH.map(|b| (a, b))) {
            let mut out = gpu.allocate(m * n).unwrap();
            gpu.product([m, k, n], (&a_on, a_stored), (&b_on, b_stored), Rounding::None, &mut out).unwrap();
            let expected = (0..m * n).map(|at| {
                let products =
                    (0..k).map(|i| of(&a, a_stored, [m, k], at / n, i) * of(&b, b_stored, [k, n], i, at % n));
                products.sum::<f32>()
            });
            assert_eq!(gpu.read(&out, 0, m * n).unwrap(), expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn each_group_with_rows_is_a_product_of_its_own() {
        let (mut gpu, starts, [m, n]) = (Gpu::new(Plain::default()), [0usize, 0, 4, 5, 5], [3, 2]);
        let groups = gpu.groups(&starts).unwrap();
        let (a, b) = (numbers(5 * m, 5), numbers(5 * n, 7));
        let (a_on, b_on) = (gpu.upload(&a).unwrap(), gpu.upload(&b).unwrap());
        let mut out = gpu.allocate(4 * m * n).unwrap();
        gpu.product_over_groups(&groups, [m, n], &a_on, &b_on, Rounding::None, &mut out).unwrap();
        let rows = |e: usize| starts[e]..starts[e + 1];
        let expected = (0..4 * m * n).map(|at| {
            let (e, i, j) = (at / (m * n), at / n % m, at % n);
            rows(e).map(|v| a[v * m + i] * b[v * n + j]).sum::<f32>()
        });
        assert_eq!(gpu.read(&out, 0, 4 * m * n).unwrap(), expected.collect::<Vec<_>>(), "zeros of no rows");

        let w = numbers(4 * m * n, 3);
        let (w_on, mut out) = (gpu.upload(&w).unwrap(), gpu.allocate(5 * n).unwrap());
        for stored in BOTH {
            gpu.product_by_group(&groups, [m, n], &a_on, (&w_on, stored), Rounding::None, &mut out).unwrap();
            let expected = (0..4).flat_map(|e| rows(e).map(move |v| (e, v))).flat_map(|(e, v)| {
                let (a, w) = (&a[v * m..][..m], &w[e * m * n..][..m * n]);
                (0..n).map(move |j| (0..m).map(|i| a[i] * of(w, stored, [m, n], i, j)).sum::<f32>())
            });
            assert_eq!(gpu.read(&out, 0, 5 * n).unwrap(), expected.collect::<Vec<_>>());
        }
    }
}
