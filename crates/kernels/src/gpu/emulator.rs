//! A device that is a process of this machine: the sources of the kernels, compiled for the CPU.
//!
//! It is slow and strict, and there to test kernels where no GPU is: see `cuda/emulator.cpp`.

use std::fs;
use std::io::{BufReader, BufWriter, Read, Result as Io, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::allocations::Allocations;
use super::{Address, Argument, Device, DeviceError, Launch, LibraryProduct};

/// The files of the program, in a folder of their own.
const FILES: [(&str, &str); 11] = [
    ("emulator.cpp", include_str!("../../cuda/emulator.cpp")),
    ("common.cuh", include_str!("../../cuda/common.cuh")),
    ("rows.cu", include_str!("../../cuda/rows.cu")),
    ("product.cu", include_str!("../../cuda/product.cu")),
    ("attention.cu", include_str!("../../cuda/attention.cu")),
    ("experts.cu", include_str!("../../cuda/experts.cu")),
    ("select.cu", include_str!("../../cuda/select.cu")),
    ("learn_rows.cu", include_str!("../../cuda/learn_rows.cu")),
    ("learn_products.cu", include_str!("../../cuda/learn_products.cu")),
    ("learn_attention.cu", include_str!("../../cuda/learn_attention.cu")),
    ("learn_update.cu", include_str!("../../cuda/learn_update.cu")),
];

/// A product and a sum that are written apart stay apart; there is no call of `longjmp` that a fortified library would refuse.
const FLAGS: [&str; 6] =
    ["-std=c++17", "-O2", "-ffp-contract=off", "-march=native", "-U_FORTIFY_SOURCE", "-fno-strict-aliasing"];

/// The process.
pub struct Emulator {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
    descending: bool,
    taken: Allocations,
}

impl Emulator {
    /// Compiles the program in `folder`, which is made and should be no one else's; returns the program.
    ///
    /// # Errors
    /// [`DeviceError::Missing`] where there is no `g++`; [`DeviceError::Failed`] where it refuses the sources, or the folder cannot be
    /// written.
    pub fn compile(folder: &Path) -> Result<PathBuf, DeviceError> {
        let write = |(name, text)| fs::write(folder.join(name), text);
        let written = fs::create_dir_all(folder).and_then(|()| FILES.into_iter().try_for_each(write));
        written.map_err(|error| failed(format!("write {}", folder.display()), error))?;
        let program = folder.join("emulator");
        let mut compiler = Command::new("g++");
        compiler.args(FLAGS).arg("-o").arg(&program).arg(folder.join("emulator.cpp"));
        let compiled = compiler.output().map_err(|error| DeviceError::Missing {
            device: "the emulator",
            reason: format!("g++ cannot be started: {error}"),
        })?;
        match compiled.status.success() {
            true => Ok(program),
            false => Err(failed("compile the kernels", String::from_utf8_lossy(&compiled.stderr))),
        }
    }

    /// Starts the program. Threads of a block run in ascending order between barriers, or in `descending` order.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(program: &Path, descending: bool) -> Result<Self, DeviceError> {
        let mut command = Command::new(program);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| failed("start the emulator", error))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| failed("start the emulator", "it has no pipes"))?;
        Ok(Self {
            child,
            input: BufWriter::new(input),
            output: BufReader::new(output),
            descending,
            taken: Allocations::default(),
        })
    }

    fn command(&mut self, command: u8, numbers: &[u64], bytes: &[u8]) -> Io<()> {
        self.input.write_all(&[command])?;
        numbers.iter().try_for_each(|number| self.input.write_all(&number.to_le_bytes()))?;
        self.input.write_all(bytes)?;
        self.input.flush()
    }

    fn answer<const N: usize>(&mut self) -> Io<[u8; N]> {
        let mut bytes = [0; N];
        self.output.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// What was wrong with a launch; empty where nothing was.
    fn run(&mut self, launch: &Launch<'_>) -> Io<String> {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let arguments: Vec<u8> = launch.arguments.iter().flat_map(|argument| argument.bytes()).collect();
        let [x, y, z] = launch.grid;
        let mut bytes = words(&[launch.kernel.len() as u32]);
        bytes.extend(launch.kernel.bytes());
        bytes.extend(words(&[x, y, z, launch.threads, self.descending.into(), arguments.len() as u32]));
        bytes.extend(arguments);
        self.command(b'L', &[], &bytes)?;
        let mut fault = vec![0; u32::from_le_bytes(self.answer()?) as usize];
        self.output.read_exact(&mut fault)?;
        Ok(String::from_utf8_lossy(&fault).into_owned())
    }
}

fn failed(attempt: impl Into<String>, error: impl ToString) -> DeviceError {
    DeviceError::Failed { attempt: attempt.into(), reason: error.to_string() }
}

impl Device for Emulator {
    fn name(&self) -> String {
        "the emulator".into()
    }

    fn free_bytes(&self) -> Option<usize> {
        None
    }

    fn allocate(&mut self, bytes: usize) -> Result<Address, DeviceError> {
        let address = self.command(b'A', &[bytes as u64], &[]).and_then(|()| self.answer());
        let address = address.map(|bytes| Address(u64::from_le_bytes(bytes)));
        let address = address.map_err(|error| failed("allocate", error))?;
        self.taken.add(address, bytes);
        Ok(address)
    }

    fn free(&mut self, at: Address) {
        if self.taken.remove(at) {
            // A process that has ended holds nothing any more.
            let _ = self.command(b'F', &[at.0], &[]);
        }
    }

    fn write(&mut self, to: Address, bytes: &[u8]) -> Result<(), DeviceError> {
        self.taken.check(to, bytes.len())?;
        self.command(b'W', &[to.0, bytes.len() as u64], bytes).map_err(|error| failed("write", error))
    }

    fn read(&mut self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.taken.check(from, bytes.len())?;
        let asked = self.command(b'R', &[from.0, bytes.len() as u64], &[]);
        asked.and_then(|()| self.output.read_exact(bytes)).map_err(|error| failed("read", error))
    }

    fn launch(&mut self, launch: &Launch<'_>) -> Result<(), DeviceError> {
        let attempt = || format!("run {} on {:?} blocks of {}", launch.kernel, launch.grid, launch.threads);
        self.taken.check_launch(launch)?;
        match self.run(launch) {
            Ok(fault) if fault.is_empty() => Ok(()),
            Ok(fault) => Err(failed(attempt(), fault)),
            Err(error) => Err(failed(attempt(), error)),
        }
    }

    /// There is no library; what one would reach is looked at all the same.
    fn library_product(&mut self, product: &LibraryProduct) -> Option<Result<(), DeviceError>> {
        self.taken.check_product(product).err().map(Err)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It ends with its input; waiting leaves no zombie.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Argument {
    /// Its bytes, up to a multiple of eight.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = match self {
            Self::Address(number, _) | Self::Long(number) => number.to_le_bytes().to_vec(),
            Self::Word(number) => number.to_le_bytes().to_vec(),
            Self::Float(number) => number.to_le_bytes().to_vec(),
            Self::Extents(extents) => extents.bytes(),
        };
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }
}
