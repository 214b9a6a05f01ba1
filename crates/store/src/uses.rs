//! What each pipeline used of a store in its last run: what is to be kept when the rest is given up.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flow_data::Id;
use serde::{Deserialize, Serialize};

use crate::{Error, Records};

const ID_BYTES: usize = 16;

/// What one pipeline used. A pipeline is its file and where it publishes; another run of it takes the place of the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Who used it.
    pub user: User,
    /// Whether the run has not ended yet, or was killed: then it is not known what it used beside these.
    pub is_open: bool,
    /// Keys of answers, in order.
    pub answers: Vec<Id>,
    /// Digests of trained models, in order.
    pub models: Vec<Id>,
}

/// A pipeline that runs from a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The pipeline's file, an absolute path.
    pub file: PathBuf,
    /// The pipeline's name.
    pub name: String,
    /// Folder of everything published, an absolute path.
    pub out: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(flatten)]
    user: User,
    is_open: bool,
}

/// The uses of a store.
#[derive(Clone, Debug)]
pub struct Uses(Records);

impl User {
    fn id(&self) -> Id {
        Id::of("user", [self.file.as_os_str().as_encoded_bytes(), self.out.as_os_str().as_encoded_bytes()])
    }
}

impl Use {
    /// A run that begins and has used nothing.
    pub fn begun(user: User) -> Self {
        Self { user, is_open: true, answers: Vec::new(), models: Vec::new() }
    }

    /// The same with what `other` used too.
    #[must_use]
    pub fn joined(self, other: &Use) -> Self {
        let union = |one: Vec<Id>, more: &[Id]| {
            one.into_iter().chain(more.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect()
        };
        Self {
            answers: union(self.answers, &other.answers),
            models: union(self.models, &other.models),
            ..self
        }
    }
}

impl Uses {
    /// The uses in `folder`. Touches nothing.
    pub fn new(folder: &Path) -> Self {
        Self(Records::new(folder))
    }

    /// What `user` used; `None` when that is not known.
    pub fn of(&self, user: &User) -> Result<Option<Use>, Error> {
        Ok(self.0.load(&user.id())?.as_deref().and_then(decoded))
    }

    /// Takes the place of what the same pipeline used before.
    pub fn save(&self, used: &Use) -> Result<(), Error> {
        let head = Head { user: used.user.clone(), is_open: used.is_open };
        let head = serde_json::to_vec(&head).map_err(|error| Error::Io {
            attempt: "write down who used the store, a path that is not UTF-8:",
            path: used.user.file.clone(),
            source: error.into(),
        })?;
        let bytes = |ids: &[Id]| ids.iter().flat_map(|id| id.0).collect::<Vec<u8>>();
        self.0.save(&used.user.id(), &[head, bytes(&used.answers), bytes(&used.models)])
    }

    /// All uses, by file and folder; and the files of those that are damaged, of which nothing is known.
    pub fn all(&self) -> Result<(Vec<Use>, Vec<PathBuf>), Error> {
        let (mut uses, mut damaged) = (Vec::new(), Vec::new());
        for id in self.0.pipelines()? {
            match self.0.load(&id)?.as_deref().and_then(decoded) {
                Some(used) => uses.push(used),
                None => damaged.push(self.0.path(&id)),
            }
        }
        uses.sort_by(|a, b| (&a.user.file, &a.user.out).cmp(&(&b.user.file, &b.user.out)));
        Ok((uses, damaged))
    }

    /// Forgets what `user` used.
    pub fn remove(&self, user: &User) -> Result<(), Error> {
        self.0.remove(&user.id())
    }
}

fn decoded(parts: &[Vec<u8>]) -> Option<Use> {
    let [head, answers, models] = parts else { return None };
    let Head { user, is_open } = serde_json::from_slice(head).ok()?;
    let ids = |bytes: &[u8]| {
        let ids = bytes.chunks_exact(ID_BYTES).map(|id| Id(id.try_into().expect("chunks have 16 bytes")));
        ids.collect()
    };
    Some(Use { user, is_open, answers: ids(answers), models: ids(models) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Id {
        Id::of("test", [[n].as_slice()])
    }

    fn used(file: &str, answers: &[u8]) -> Use {
        let mut answers: Vec<Id> = answers.iter().map(|n| key(*n)).collect();
        answers.sort();
        let user = User { file: file.into(), name: "p".into(), out: "/out/p".into() };
        Use { user, is_open: false, answers, models: vec![key(9)] }
    }

    #[test]
    fn a_run_takes_the_place_of_the_last_of_its_pipeline() {
        let folder = tempfile::tempdir().unwrap();
        let uses = Uses::new(&folder.path().join("uses"));
        assert_eq!(uses.all().unwrap(), (vec![], vec![]));
        let (first, other) = (used("/a.yaml", &[1, 2]), used("/b.yaml", &[3]));
        for used in [&first, &other] {
            uses.save(used).unwrap();
        }
        let again = used("/a.yaml", &[2, 4]);
        uses.save(&again).unwrap();
        assert_eq!(uses.of(&first.user).unwrap(), Some(again.clone()));
        assert_eq!(uses.all().unwrap(), (vec![again.clone(), other.clone()], vec![]));
        let damaged = folder.path().join("uses").join(format!("{}.record", other.user.id()));
        std::fs::write(&damaged, "half").unwrap();
        assert_eq!(uses.all().unwrap(), (vec![again.clone()], vec![damaged]));
        uses.remove(&other.user).unwrap();
        assert_eq!(uses.all().unwrap(), (vec![again], vec![]));
    }

    #[test]
    fn runs_that_were_stopped_keep_what_the_last_one_used() {
        let joined = used("/a.yaml", &[1, 2]).joined(&used("/a.yaml", &[2, 3]));
        assert_eq!(joined, used("/a.yaml", &[1, 2, 3]));
        assert!(Use::begun(joined.user.clone()).joined(&joined).is_open);
    }
}
