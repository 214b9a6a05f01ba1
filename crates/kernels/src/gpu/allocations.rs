//! Which memory of a device is taken: looked up before a byte of it is reached, whoever asks.

use std::collections::BTreeMap;

use super::{Address, Argument, DeviceError, Launch, LibraryProduct};

/// Where each allocation begins, and its bytes.
#[derive(Default)]
pub(super) struct Allocations(BTreeMap<Address, usize>);

impl Allocations {
    pub(super) fn add(&mut self, at: Address, bytes: usize) {
        self.0.insert(at, bytes);
    }

    /// Whether there was an allocation at `at`.
    pub(super) fn remove(&mut self, at: Address) -> bool {
        self.0.remove(&at).is_some()
    }

    /// Errs unless the `bytes` from `at` on are of one allocation.
    pub(super) fn check(&self, at: Address, bytes: usize) -> Result<(), DeviceError> {
        let holds = |(from, held): (&Address, &usize)| {
            at.0.checked_add(bytes as u64).is_some_and(|end| end <= from.0 + *held as u64)
        };
        match self.0.range(..=at).next_back().is_some_and(holds) {
            true => Ok(()),
            false => Err(DeviceError::Failed {
                attempt: format!("reach {bytes} bytes"),
                reason: "they are not of one allocation of this device".into(),
            }),
        }
    }

    /// The same for all that a launch may reach.
    pub(super) fn check_launch(&self, launch: &Launch<'_>) -> Result<(), DeviceError> {
        launch.arguments.iter().try_for_each(|argument| match *argument {
            Argument::Address(at, bytes @ 1..) => self.check(Address(at), bytes),
            _ => Ok(()),
        })
    }

    /// The same for all that a product may reach.
    pub(super) fn check_product(&self, product: &LibraryProduct) -> Result<(), DeviceError> {
        product.places().iter().try_for_each(|place| self.check(place.at, place.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reached_is_of_one_allocation() {
        let mut taken = Allocations::default();
        taken.add(Address(100), 10);
        taken.add(Address(110), 6);
        for (at, bytes, good) in [
            (100, 10, true),
            (104, 6, true),
            (104, 7, false),
            (99, 1, false),
            (110, 6, true),
            (110, 7, false),
        ] {
            assert_eq!(taken.check(Address(at), bytes).is_ok(), good, "{bytes} from {at} on");
        }
        assert!(taken.check(Address(u64::MAX), 2).is_err());
        assert!(taken.remove(Address(100)) && !taken.remove(Address(100)));
        assert!(taken.check(Address(100), 1).is_err());
    }
}
