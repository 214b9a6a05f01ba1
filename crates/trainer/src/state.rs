//! A training run at rest: what it takes to go on, after any kill, as if nothing had happened.
//!
//! The order of the examples and all random numbers are functions of the settings, so the place in the data is the number of
//! steps done; weights, moments and the reports of the steps so far are the rest. A state is written under a temporary name,
//! brought to the disk and renamed: it is there whole or not at all. One that is damaged, or of another run, counts as none.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::loss::Preference;
use crate::report::{GroupLoad, LayerLoad, StepReport};

/// First bytes of a state of this form.
const MAGIC: u64 = u64::from_le_bytes(*b"flowst05");

/// Where a run rests.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// The file; its folder is made.
    pub path: PathBuf,
    /// Names the run: start, examples and settings. A state of another name is not gone on from.
    pub identity: [u8; 16],
    /// Steps from one state to the next, at least 1. A run that is stopped leaves a state in any case.
    pub every: usize,
}

impl Saved {
    /// Removes the state of a run that has come to its end and whose result is kept; there may be none.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// What a run consists of after a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// Every step done, in order.
    pub(crate) steps: Vec<StepReport>,
    /// Each parameter, then its first and second moment. Then, once there is a validation loss, each parameter as it was after the
    /// step with the least one.
    pub(crate) numbers: Vec<Vec<f32>>,
}

impl State {
    /// The state at rest, if there is one of this run. What a killed process was writing is removed.
    pub(crate) fn load(saved: &Saved) -> Option<Self> {
        sweep(&saved.path);
        let bytes = fs::read(&saved.path).ok()?;
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
        if checksum(body) != u64::from_le_bytes(sum.try_into().ok()?) {
            return None;
        }
        let mut read = Read { bytes: body };
        if read.whole()? != MAGIC || read.take(16)? != saved.identity {
            return None;
        }
        let steps = (0..read.whole()?).map(|_| read.step()).collect::<Option<_>>()?;
        let numbers = (0..read.whole()?).map(|_| read.floats()).collect::<Option<_>>()?;
        read.bytes.is_empty().then_some(Self { steps, numbers })
    }

    pub(crate) fn save(&self, saved: &Saved) -> io::Result<()> {
        let mut bytes = Vec::new();
        put(&mut bytes, MAGIC);
        bytes.extend(saved.identity);
        put(&mut bytes, self.steps.len() as u64);
        self.steps.iter().for_each(|step| put_step(&mut bytes, step));
        put(&mut bytes, self.numbers.len() as u64);
        for numbers in &self.numbers {
            put(&mut bytes, numbers.len() as u64);
            bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
        }
        let sum = checksum(&bytes);
        put(&mut bytes, sum);
        publish(&saved.path, &bytes)
    }
}

fn publish(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let fresh = path.with_extension(format!("{}.fresh", std::process::id()));
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(folder)?.sync_all()
}

/// Removes what processes were writing beside `path` when they were killed. One that is there and cannot be removed is in nobody's way.
fn sweep(path: &Path) {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem()) else { return };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let left = entry.path();
        let of_path = left.file_stem().and_then(|stem| Path::new(stem).file_stem()) == Some(stem);
        if of_path && left.extension().is_some_and(|extension| extension == "fresh") {
            let _ = fs::remove_file(left);
        }
    }
}

/// A sum over words of eight bytes, mixed like FNV-1a with a rotation; it finds damage, and is safe from no one.
fn checksum(bytes: &[u8]) -> u64 {
    let word = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    };
    let mix = |sum: u64, chunk: &[u8]| (sum ^ word(chunk)).wrapping_mul(0x100_0000_01b3).rotate_left(29);
    bytes.chunks(8).fold(0xcbf2_9ce4_8422_2325, mix)
}

fn put(bytes: &mut Vec<u8>, x: u64) {
    bytes.extend(x.to_le_bytes());
}

fn put_step(bytes: &mut Vec<u8>, step: &StepReport) {
    for whole in [step.step, step.steps, step.tokens, step.scored_tokens, step.layers.len()] {
        put(bytes, whole as u64);
    }
    for real in [step.loss, step.learning_rate, step.grad_norm] {
        put(bytes, real.to_bits());
    }
    let preference = step.preference.map(|preference| [preference.margin, preference.accuracy]);
    put_some(bytes, preference);
    put_some(bytes, step.validation.map(|loss| [loss]));
    for layer in &step.layers {
        put_all(bytes, &layer.tokens_per_expert);
        put(bytes, layer.null_visits);
        for real in [layer.router_entropy, layer.balance_loss, layer.z_loss] {
            put(bytes, real.to_bits());
        }
        put(bytes, layer.groups.len() as u64);
        for group in &layer.groups {
            put(bytes, group.tokens);
            put_all(bytes, &group.tokens_per_expert);
            put(bytes, group.null_visits);
            put(bytes, group.router_entropy.to_bits());
        }
    }
}

fn put_all(bytes: &mut Vec<u8>, counts: &[u64]) {
    put(bytes, counts.len() as u64);
    counts.iter().for_each(|count| put(bytes, *count));
}

fn put_some<const N: usize>(bytes: &mut Vec<u8>, reals: Option<[f64; N]>) {
    put(bytes, reals.is_some().into());
    reals.iter().flatten().for_each(|real| put(bytes, real.to_bits()));
}

struct Read<'a> {
    bytes: &'a [u8],
}

impl<'a> Read<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(n)?;
        self.bytes = rest;
        Some(taken)
    }

    fn whole(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn size(&mut self) -> Option<usize> {
        usize::try_from(self.whole()?).ok()
    }

    fn real(&mut self) -> Option<f64> {
        Some(f64::from_bits(self.whole()?))
    }

    fn floats(&mut self) -> Option<Vec<f32>> {
        let length = self.size()?.checked_mul(4)?;
        Some(self.take(length)?.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn step(&mut self) -> Option<StepReport> {
        let [step, steps, tokens, scored_tokens, layers] =
            [self.size()?, self.size()?, self.size()?, self.size()?, self.size()?];
        let (loss, learning_rate, grad_norm) = (self.real()?, self.real()?, self.real()?);
        let preference = if self.whole()? == 0 { None } else { Some([self.real()?, self.real()?]) };
        let preference = preference.map(|[margin, accuracy]| Preference { margin, accuracy });
        let validation = if self.whole()? == 0 { None } else { Some(self.real()?) };
        let layers = (0..layers).map(|_| self.layer()).collect::<Option<_>>()?;
        Some(StepReport {
            step,
            steps,
            loss,
            learning_rate,
            grad_norm,
            tokens,
            scored_tokens,
            layers,
            preference,
            validation,
        })
    }

    fn layer(&mut self) -> Option<LayerLoad> {
        let (tokens_per_expert, null_visits) = (self.counts()?, self.whole()?);
        let (router_entropy, balance_loss, z_loss) = (self.real()?, self.real()?, self.real()?);
        let groups = (0..self.whole()?).map(|_| self.group()).collect::<Option<_>>()?;
        Some(LayerLoad { tokens_per_expert, null_visits, router_entropy, balance_loss, z_loss, groups })
    }

    fn group(&mut self) -> Option<GroupLoad> {
        let (tokens, tokens_per_expert, null_visits) = (self.whole()?, self.counts()?, self.whole()?);
        Some(GroupLoad { tokens, tokens_per_expert, null_visits, router_entropy: self.real()? })
    }

    fn counts(&mut self) -> Option<Vec<u64>> {
        (0..self.whole()?).map(|_| self.whole()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let layer = LayerLoad {
            tokens_per_expert: vec![3, 0, 9],
            null_visits: 4,
            router_entropy: 0.5,
            balance_loss: 1.5,
            z_loss: 2.5,
            groups: vec![
                GroupLoad::default(),
                GroupLoad {
                    tokens: 6,
                    tokens_per_expert: vec![3, 0, 9],
                    null_visits: 1,
                    router_entropy: 3.25,
                },
            ],
        };
        let step = StepReport {
            step: 1,
            steps: 7,
            loss: 0.1 + 0.2,
            learning_rate: 1e-3,
            grad_norm: 4.0,
            tokens: 12,
            scored_tokens: 5,
            layers: vec![layer.clone(), layer],
            preference: Some(Preference { margin: 0.5, accuracy: 1.0 }),
            validation: None,
        };
        let numbers = vec![vec![1.0, -0.0, f32::MIN_POSITIVE], Vec::new(), vec![0.1; 5]];
        State {
            steps: vec![
                step.clone(),
                StepReport { step: 2, layers: Vec::new(), preference: None, validation: Some(0.25), ..step },
            ],
            numbers,
        }
    }

    #[test]
    fn a_state_comes_back_and_no_other_does() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let saved = Saved { path: dir.path().join("run/state"), identity: [7; 16], every: 1 };
        assert_eq!(State::load(&saved), None);
        state().save(&saved).expect("saves");
        assert_eq!(State::load(&saved), Some(state()));
        assert_eq!(
            fs::read_dir(dir.path().join("run")).expect("lists").count(),
            1,
            "nothing else is left behind"
        );
        assert_eq!(State::load(&Saved { identity: [8; 16], ..saved.clone() }), None);
        saved.discard().expect("removes");
        saved.discard().expect("there is none");
        assert_eq!(State::load(&saved), None);
    }

    #[test]
    fn a_damaged_state_counts_as_none() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let saved = Saved { path: dir.path().join("state"), identity: [7; 16], every: 1 };
        state().save(&saved).expect("saves");
        let bytes = fs::read(&saved.path).expect("reads");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            fs::write(&saved.path, damaged).expect("writes");
            assert_eq!(State::load(&saved), None, "byte {at}");
            fs::write(&saved.path, &bytes[..at]).expect("writes");
            assert_eq!(State::load(&saved), None, "cut at {at}");
        }
    }
}
