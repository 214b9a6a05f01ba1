//! Checkpoints by digest, and the engines that draw from them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_data::Id;
use flow_model::{Checkpoint, Folder, is_whole, names, weight_files};
use flow_sampler::{Engine, Error, FoundGpu, Precision, open_gpu};
use flow_spec::Served;
use flow_trainer::Rounding;

use crate::declared::{self, Notes};
use crate::{Remarks, Server};

/// Models kept ready in memory: the sampled one, its successor and a critic.
const READY: usize = 3;

/// A checkpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be loaded.
    #[error(transparent)]
    Model(#[from] flow_model::Error),
    /// It was trained here, and cannot be loaded any more.
    #[error("the trained model `{path}` is damaged; remove the folder to train it again")]
    Damaged {
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it.
        source: flow_model::Error,
    },
    /// It was trained here, and its files are not those that its digest names.
    #[error(
        "the trained model `{path}` is damaged: its files have other contents than its name says; remove the folder to train it again"
    )]
    Changed {
        /// Its folder.
        path: PathBuf,
    },
    /// It is declared, and its files were changed since the run began.
    #[error("the model `{path}` was changed while the pipeline ran; run it again")]
    Moved {
        /// Its folder.
        path: PathBuf,
    },
}

/// Checkpoints by digest: declared ones where they lie, trained ones in the store.
pub struct Models {
    folder: PathBuf,
    notes: Notes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where they lie, and what their files were told apart by before they were read.
    declared: BTreeMap<Id, (PathBuf, Option<Id>)>,
    /// Those behind servers, with the digests of their parts.
    served: BTreeMap<Id, (Arc<Server>, [Id; 3])>,
    /// Digests of the parts of others, once they were asked for.
    parts: BTreeMap<Id, [Id; 3]>,
    checkpoints: Vec<(Id, Arc<Checkpoint>)>,
    engines: Vec<((Id, Precision), Arc<Engine>)>,
    draws: Option<OnGpu>,
    learns: Learns,
}

/// What trainings are computed by.
#[derive(Default)]
enum Learns {
    /// The CPU.
    #[default]
    Cpu,
    /// A GPU, in these words.
    Gpu(String),
    /// What a record of a run says: nothing is trained here.
    Recorded(String),
}

/// Engines draw on a GPU.
#[derive(Clone)]
struct OnGpu {
    /// Told where a model cannot, and draws on the CPU instead; without them it fails.
    otherwise: Option<Remarks>,
}

impl Models {
    /// Models trained here are kept in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), notes: Notes::beside(folder), state: Mutex::default() }
    }

    /// From now on engines draw on the first GPU of this machine: the same draws. A model that does not fit it draws on the CPU, and
    /// `otherwise` is told so; where there is no `otherwise`, it fails.
    pub fn draw_on_gpu(&self, otherwise: Option<Remarks>) {
        self.state().draws = Some(OnGpu { otherwise });
    }

    /// From now on trainings learn on `gpu`, the first one of this machine.
    pub fn learn_on_gpu(&self, gpu: &FoundGpu) {
        let products = gpu.library.as_deref().unwrap_or("products of its own");
        let words = format!("{}, {products}, {}", gpu.name, flow_trainer::instruction_set());
        self.state().learns = Learns::Gpu(words);
    }

    /// What trainings are computed by, which decides their last bits: the instruction set of the CPU, and the GPU and its library.
    pub fn computer(&self) -> String {
        match &self.state().learns {
            Learns::Cpu => flow_trainer::instruction_set().into(),
            Learns::Gpu(words) | Learns::Recorded(words) => words.clone(),
        }
    }

    /// Whether trainings learn, or learned, on a GPU.
    pub(crate) fn learns_on_gpu(&self) -> bool {
        match &self.state().learns {
            Learns::Cpu => false,
            Learns::Gpu(_) => true,
            Learns::Recorded(words) => words != flow_trainer::instruction_set(),
        }
    }

    /// From now on trainings count as computed by `computer`: for who looks at what a run made. Nothing can be trained then.
    pub fn look_back(&self, computer: &str) {
        self.state().learns = Learns::Recorded(computer.to_owned());
    }

    /// The GPU for a training, its memory free of engines of this process; none where trainings learn on the CPU.
    ///
    /// # Errors
    /// It cannot be used.
    pub(crate) fn gpu_to_train(&self, rounding: Rounding) -> Result<Option<flow_trainer::Device>, String> {
        let mut state = self.state();
        match state.learns {
            Learns::Cpu => return Ok(None),
            Learns::Gpu(_) => {}
            Learns::Recorded(_) => return Err("a verb that looks back trains nothing".into()),
        }
        if state.draws.is_some() {
            state.engines.clear();
        }
        let device = open_gpu().and_then(|gpu| flow_trainer::Device::new(gpu, rounding));
        device.map(Some).map_err(|error| crate::text::chain(&error))
    }

    /// The digest of the checkpoint at `path`. It is read for that, unless it was drawn from before and its files did not
    /// change since.
    pub fn declare(&self, path: &Path) -> Result<Id, flow_model::Error> {
        let stamp = declared::stamp(path);
        if let Some(id) = stamp.and_then(|stamp| self.notes.find(path, &stamp)) {
            self.state().declared.insert(id, (path.to_owned(), None));
            return Ok(id);
        }
        let id = Id(Folder::open(path)?.digest()?);
        self.state().declared.insert(id, (path.to_owned(), stamp));
        Ok(id)
    }

    /// The digest of the model behind the servers of `served`, by which its answers are kept. `variable` finds variables of
    /// the environment, and `remarks` take that none answers.
    pub fn declare_served(
        &self,
        served: &Served,
        variable: impl Fn(&str) -> Option<String>,
        remarks: &Remarks,
    ) -> Id {
        let parts = crate::served::parts(served);
        let id = Id::of("served model", parts.iter().map(|part| part.0.as_slice()));
        let server = Arc::new(Server::new(served, variable, remarks.clone()));
        self.state().served.insert(id, (server, parts));
        id
    }

    /// The servers of the model, if it is behind some.
    pub(crate) fn server(&self, id: &Id) -> Option<Arc<Server>> {
        self.state().served.get(id).map(|(server, _)| server.clone())
    }

    /// Digests of shape and settings, weights and tokenizer of a model; `None` where it cannot be loaded or has been changed.
    pub fn part_digests(&self, id: &Id) -> Option<[Id; 3]> {
        let known = |state: &State| {
            state.served.get(id).map(|(_, parts)| *parts).or_else(|| state.parts.get(id).copied())
        };
        if let Some(parts) = known(&self.state()) {
            return Some(parts);
        }
        let digests = match self.in_memory(id) {
            Some(checkpoint) => checkpoint.digests(),
            None => Folder::open(&self.folder_of(id)).ok()?.digests().ok()?,
        };
        let parts = (digests.whole == id.0).then_some(digests.parts.map(Id))?;
        self.state().parts.insert(*id, parts);
        Some(parts)
    }

    /// Keeps a trained checkpoint and returns its digest. It is seen whole or not at all, after a crash too.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn keep(&self, checkpoint: Checkpoint) -> Result<Id, flow_model::Error> {
        self.keep_with(checkpoint, |_| Ok(()))
    }

    /// [`Self::keep`], with what `beside` writes into its folder.
    pub(crate) fn keep_with(
        &self,
        checkpoint: Checkpoint,
        beside: impl FnOnce(&Path) -> Result<(), flow_model::Error>,
    ) -> Result<Id, flow_model::Error> {
        let id = Id(checkpoint.digest());
        let folder = self.path(&id);
        if !is_checkpoint(&folder) {
            let fresh = self.folder.join(format!("{id}.{}", std::process::id()));
            checkpoint.save(&fresh)?;
            beside(&fresh)?;
            publish(&fresh, &folder).map_err(|source| flow_model::Error::Write { path: folder, source })?;
        }
        remember(&mut self.state().checkpoints, id, Arc::new(checkpoint));
        Ok(id)
    }

    /// Whether the checkpoint can be had.
    pub fn has(&self, id: &Id) -> bool {
        let state = self.state();
        state.declared.contains_key(id) || state.served.contains_key(id) || is_checkpoint(&self.path(id))
    }

    /// Where a trained checkpoint lies: a Hugging Face folder.
    pub fn path(&self, id: &Id) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// Where the checkpoint lies, if it is declared.
    pub fn declared_folder(&self, id: &Id) -> Option<PathBuf> {
        self.state().declared.get(id).map(|(path, _)| path.clone())
    }

    /// Where the training with this key rests while it is under way.
    pub fn training(&self, key: &Id) -> PathBuf {
        self.folder.join(format!("{key}.training"))
    }

    /// The checkpoint with this digest.
    ///
    /// # Errors
    /// It cannot be loaded, or its files have been changed since they were named by their digest.
    pub fn checkpoint(&self, id: &Id) -> Result<Arc<Checkpoint>, CheckpointError> {
        if let Some(checkpoint) = self.in_memory(id) {
            return Ok(checkpoint);
        }
        let folder = self.opened(id)?;
        let checkpoint = folder.load().map_err(|error| self.unusable(id, error))?;
        if checkpoint.digest() != id.0 {
            return Err(self.changed(id));
        }
        let checkpoint = Arc::new(checkpoint);
        remember(&mut self.state().checkpoints, *id, checkpoint.clone());
        Ok(checkpoint)
    }

    /// The checkpoint with this digest, ready to draw from, with weights of this precision. Its files are packed as they are read,
    /// unless it was trained here just now; of that, the weights are not kept beside those that take less.
    pub fn engine(&self, id: &Id, precision: Precision) -> Result<Arc<Engine>, String> {
        if let Some(engine) = recall(&mut self.state().engines, &(*id, precision)) {
            return Ok(engine);
        }
        let trained = self.in_memory(id);
        let takes_less = precision != Precision::F32 || trained.as_deref().is_some_and(has_few_bits);
        let engine = match trained {
            Some(checkpoint) => {
                let made = self.placed(|| Engine::with_precision(&checkpoint, precision));
                made.map_err(|error| crate::text::chain(&error))?
            }
            None => self.engine_of_files(id, precision)?,
        };
        let engine = Arc::new(engine);
        let mut state = self.state();
        remember(&mut state.engines, (*id, precision), engine.clone());
        if takes_less {
            state.checkpoints.retain(|(other, _)| other != id);
        }
        if let Some((path, Some(stamp))) = state.declared.get(id) {
            self.notes.keep(path, stamp, id);
        }
        Ok(engine)
    }

    /// The engine of a checkpoint that rests in files. These are compared with its digest after they were packed, so that whoever
    /// changes them meanwhile is found out, unless nothing about them is another than when the digest was taken.
    fn engine_of_files(&self, id: &Id, precision: Precision) -> Result<Engine, String> {
        let refused = |error: CheckpointError| crate::text::chain(&error);
        let folder = self.opened(id).map_err(refused)?;
        let engine = self.placed(|| Engine::of_folder(&folder, precision));
        let engine = engine.map_err(|error| crate::text::chain(&error))?;
        let declared = self.state().declared.get(id).cloned();
        let same = declared.is_some_and(|(path, stamp)| stamp.is_some() && declared::stamp(&path) == stamp);
        match same || folder.digest().map_err(|error| refused(self.unusable(id, error)))? == id.0 {
            true => Ok(engine),
            false => Err(refused(self.changed(id))),
        }
    }

    /// The engine that `on_cpu` makes, on a GPU if engines draw on one.
    fn placed(&self, on_cpu: impl Fn() -> Result<Engine, Error>) -> Result<Engine, Error> {
        let draws = self.state().draws.clone();
        let Some(OnGpu { otherwise }) = draws else { return on_cpu() };
        match (on_cpu().and_then(|engine| engine.on(open_gpu()?)), otherwise) {
            (Err(Error::Device(error)), Some(remarks)) => {
                remarks.add(format!("a model draws on the CPU: {error}"));
                on_cpu()
            }
            (engine, _) => engine,
        }
    }

    /// Errs where the files of a trained checkpoint are not those that its digest names.
    ///
    /// # Errors
    /// They are others, or cannot be read.
    pub fn expect_whole(&self, id: &Id) -> Result<(), CheckpointError> {
        let path = self.path(id);
        match Folder::open(&path).and_then(|folder| folder.digest()) {
            Ok(digest) if digest == id.0 => Ok(()),
            Ok(_) => Err(CheckpointError::Changed { path }),
            Err(source) => Err(CheckpointError::Damaged { path, source }),
        }
    }

    fn in_memory(&self, id: &Id) -> Option<Arc<Checkpoint>> {
        recall(&mut self.state().checkpoints, id)
    }

    /// Where the checkpoint lies: a declared one in a folder of the user's, a trained one in the store.
    fn folder_of(&self, id: &Id) -> PathBuf {
        self.declared_folder(id).unwrap_or_else(|| self.path(id))
    }

    fn opened(&self, id: &Id) -> Result<Folder, CheckpointError> {
        Folder::open(&self.folder_of(id)).map_err(|error| self.unusable(id, error))
    }

    /// What is wrong where the files of the checkpoint cannot be used.
    fn unusable(&self, id: &Id, source: flow_model::Error) -> CheckpointError {
        match self.declared_folder(id) {
            Some(_) => CheckpointError::Model(source),
            None => CheckpointError::Damaged { path: self.path(id), source },
        }
    }

    /// What is wrong where they have another digest.
    fn changed(&self, id: &Id) -> CheckpointError {
        match self.declared_folder(id) {
            Some(path) => CheckpointError::Moved { path },
            None => CheckpointError::Changed { path: self.path(id) },
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `folder` has the files of a checkpoint, those of weights as long as they say.
fn is_checkpoint(folder: &Path) -> bool {
    ["config.json", "tokenizer.json"].iter().all(|file| folder.join(file).is_file())
        && weight_files(folder).is_ok_and(|files| files.iter().all(|file| is_whole(file)))
}

/// Moves the checkpoint in `fresh` to `folder` once its bytes are on the disk. Another process may have kept the same
/// checkpoint meanwhile: then theirs stays.
fn publish(fresh: &Path, folder: &Path) -> io::Result<()> {
    sync(fresh)?;
    if folder.exists() && !is_checkpoint(folder) {
        fs::remove_dir_all(folder)?;
    }
    if let Err(error) = fs::rename(fresh, folder) {
        fs::remove_dir_all(fresh)?;
        return Checkpoint::load(folder).map(drop).map_err(|_| error);
    }
    folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Brings a file, or a folder with all in it, to the disk.
fn sync(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        fs::read_dir(path)?.try_for_each(|entry| sync(&entry?.path()))?;
    }
    File::open(path)?.sync_all()
}

/// The entry for `key`, moved to the end: the most recently used.
fn recall<K: Clone + PartialEq, T: Clone>(ready: &mut Vec<(K, T)>, key: &K) -> Option<T> {
    let at = ready.iter().position(|(other, _)| other == key)?;
    let entry = ready.remove(at);
    ready.push(entry.clone());
    Some(entry.1)
}

fn remember<K: Clone + PartialEq, T: Clone>(ready: &mut Vec<(K, T)>, key: K, value: T) {
    if recall(ready, &key).is_none() {
        ready.push((key, value));
        ready.drain(..ready.len().saturating_sub(READY));
    }
}

/// Whether the model computes with few bits of a part of its weights.
fn has_few_bits(checkpoint: &Checkpoint) -> bool {
    !names::computed(&checkpoint.config).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/arith-tiny");
        Checkpoint::load(&path).expect("the checkpoint is part of the repository")
    }

    #[test]
    fn a_checkpoint_is_kept_whole_and_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let models = Models::new(dir.path());
        let id = Id(checkpoint().digest());
        assert!(!models.has(&id));
        for _ in 0..2 {
            assert_eq!(models.keep(checkpoint()).expect("keeps"), id);
            assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1, "nothing else is left behind");
        }
        assert!(Models::new(dir.path()).has(&id));
        assert_eq!(Models::new(dir.path()).checkpoint(&id).expect("loads").digest(), id.0);
    }

    #[test]
    fn a_model_that_was_drawn_from_is_known_without_reading_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let policy = dir.path().join("policy");
        checkpoint().save(&policy).expect("saves");
        let models = || Models::new(&dir.path().join("store/models"));
        let first = models();
        let id = first.declare(&policy).expect("loads");
        first.engine(&id, Precision::F32).expect("is ready");
        let second = models();
        assert_eq!(second.declare(&policy).expect("is known"), id);
        assert!(second.state().checkpoints.is_empty(), "nothing was read");
        assert_eq!(second.checkpoint(&id).expect("loads").digest(), id.0);

        let config = policy.join("config.json");
        let text = fs::read_to_string(&config).expect("reads").replace("10000.0", "20000.0");
        fs::write(&config, text).expect("writes");
        assert_ne!(models().declare(&policy).expect("loads"), id);
    }

    #[test]
    fn without_a_gpu_a_model_draws_on_the_cpu_and_says_so_unless_it_was_asked_for() {
        if open_gpu().is_ok() {
            return;
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        let models = Models::new(dir.path());
        let id = models.keep(checkpoint()).expect("keeps");
        models.draw_on_gpu(None);
        assert!(models.engine(&id, Precision::F32).is_err());
        let remarks = Remarks::default();
        models.draw_on_gpu(Some(remarks.clone()));
        assert_eq!(models.engine(&id, Precision::F32).expect("is ready").device(), "the CPU");
        assert!(remarks.take().iter().any(|line| line.starts_with("a model draws on the CPU: ")));
        assert!(models.gpu_to_train(Rounding::None).expect("learns on the CPU").is_none());
        assert_eq!(models.computer(), flow_trainer::instruction_set());
        let gpu = FoundGpu { name: "a GPU".into(), memory_bytes: 1, library: Some("cuBLAS 1.2.3".into()) };
        models.learn_on_gpu(&gpu);
        assert_eq!(models.computer(), format!("a GPU, cuBLAS 1.2.3, {}", flow_trainer::instruction_set()));
        assert!(models.gpu_to_train(Rounding::None).is_err(), "a training does not go elsewhere by itself");
        models.look_back("another computer");
        assert_eq!(models.computer(), "another computer");
        assert!(models.gpu_to_train(Rounding::None).is_err());
    }

    #[test]
    fn a_changed_checkpoint_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let id = Models::new(dir.path()).keep(checkpoint()).expect("keeps");
        let weights = Models::new(dir.path()).path(&id).join("model.safetensors");
        let mut bytes = fs::read(&weights).expect("reads");
        let last = bytes.len() - 1;
        bytes[last] ^= 0x80;
        fs::write(&weights, bytes).expect("writes");
        let error = Models::new(dir.path()).checkpoint(&id).expect_err("one bit is another");
        assert!(matches!(error, CheckpointError::Changed { .. }), "{error}");
        fs::write(&weights, "half").expect("writes");
        let error = Models::new(dir.path()).checkpoint(&id).expect_err("it is cut off").to_string();
        assert!(error.ends_with("is damaged; remove the folder to train it again"), "{error}");
    }

    #[test]
    fn half_a_checkpoint_is_not_one_and_is_replaced() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let models = Models::new(dir.path());
        let id = models.keep(checkpoint()).expect("keeps");
        let weights = models.path(&id).join("model.safetensors");
        let bytes = fs::read(&weights).expect("reads");
        for left in [0, 1000, bytes.len() - 1] {
            fs::write(&weights, &bytes[..left]).expect("cuts off");
            let models = Models::new(dir.path());
            assert!(!models.has(&id));
            models.keep(checkpoint()).expect("takes the place of what is left");
            assert!(models.has(&id));
        }
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1, "nothing else is left behind");
    }

    #[test]
    fn another_process_may_have_been_faster() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let [fresh, folder] = ["fresh", "folder"].map(|name| dir.path().join(name));
        [&fresh, &folder].iter().for_each(|path| checkpoint().save(path).expect("saves"));
        publish(&fresh, &folder).expect("theirs will do");
        assert!(!fresh.exists() && is_checkpoint(&folder));
    }
}
