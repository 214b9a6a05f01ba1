//! The driver closes the loop: what a round's training makes is the next round's model.

use std::collections::BTreeMap;

use flow_data::{Heap, Id, Round, Row};

use crate::{InputId, Out, Session, SessionError, SourceError, Watch};

/// Feeds sources and models into a session until every round that can run has run.
pub struct Driver {
    session: Session,
    /// Digests of the declared models in round 1, by slot.
    initial: Vec<Id>,
    /// What has been fed, by slot and round.
    fed: BTreeMap<(usize, Round), Id>,
}

impl Driver {
    /// A driver whose declared models have these digests.
    pub fn new(session: Session, initial: Vec<Id>) -> Self {
        Self { session, initial, fed: BTreeMap::new() }
    }

    /// The running session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Reads every source and feeds its rows, to be settled by [`Driver::settle`].
    pub fn load(&mut self) -> Result<(), SourceError> {
        let network = self.session.network().clone();
        let heap = self.session.heap().clone();
        for (node, description) in network.nodes.iter().enumerate() {
            if let crate::Body::Source(source) = &description.body {
                for (input, row) in load(&**source, &heap, node, description.width)? {
                    self.session.update(input, row, 1);
                }
            }
        }
        Ok(())
    }

    /// Changes a source's row by `diff` with the next tick.
    pub fn update(&mut self, input: InputId, row: Row, diff: isize) {
        self.session.update(input, row, diff);
    }

    /// Settles the present input, then feeds the models of later rounds as they are made, until nothing changes.
    /// `after` is called after each settled tick with the last round fed.
    pub fn settle(
        &mut self,
        watch: &mut Watch<'_>,
        after: &mut dyn FnMut(&Session, Round),
    ) -> Result<(), SessionError> {
        self.feed_next();
        for _ in 0..self.most_ticks() {
            self.session.tick(watch)?;
            after(&self.session, self.fed.keys().map(|(_, round)| *round).max().unwrap_or(0));
            if !self.feed_next() {
                return Ok(());
            }
        }
        Err(SessionError::Unstable)
    }

    /// An edit settles each round at most once for each change of an earlier round.
    fn most_ticks(&self) -> Round {
        let rounds = self.session.network().rounds.count;
        rounds.saturating_mul(rounds).saturating_add(2)
    }

    /// Feeds the first model that differs from what is wanted, and takes back later rounds' models, which rest on
    /// it. Returns whether anything changed.
    fn feed_next(&mut self) -> bool {
        let wanted = self.wanted();
        let differs = |key: &&(usize, Round)| self.fed.get(*key) != wanted.get(*key);
        let first = self.fed.keys().chain(wanted.keys()).filter(differs).map(|(_, round)| *round).min();
        // What is known before the first round is fed with it, in one tick.
        let Some(round) = first.map(|round| round.max(1)) else { return false };
        let stale: Vec<_> =
            self.fed.iter().filter(|((_, r), _)| *r >= round).map(|(k, v)| (*k, *v)).collect();
        for ((slot, round), digest) in stale {
            self.feed(slot, round, digest, -1);
        }
        for ((slot, r), digest) in wanted {
            if r <= round && !self.fed.contains_key(&(slot, r)) {
                self.feed(slot, r, digest, 1);
            }
        }
        true
    }

    fn feed(&mut self, slot: usize, round: Round, digest: Id, diff: isize) {
        self.session.update(InputId::Model(slot), Row { round, id: digest, body: digest }, diff);
        if diff > 0 {
            self.fed.insert((slot, round), digest);
        } else {
            self.fed.remove(&(slot, round));
        }
    }

    /// The models that should be fed, given what has been trained: round r + 1 has what round r made.
    fn wanted(&self) -> BTreeMap<(usize, Round), Id> {
        let network = self.session.network();
        let mut wanted = BTreeMap::new();
        for (slot, model) in network.models.iter().enumerate() {
            let Some(trainer) = model.fed_by else {
                wanted.insert((slot, 0), self.initial[slot]);
                continue;
            };
            wanted.insert((slot, 1), self.initial[slot]);
            for round in 1..network.rounds.count {
                match self.trained(trainer, round) {
                    Some(digest) if !self.gated(round) => wanted.insert((slot, round + 1), digest),
                    _ => break,
                };
            }
        }
        wanted
    }

    fn trained(&self, trainer: usize, round: Round) -> Option<Id> {
        self.session.rows(trainer, Some(0)).keys().find(|row| row.round == round).map(|row| row.id)
    }

    fn gated(&self, round: Round) -> bool {
        let Some((gate, port)) = self.session.network().rounds.gate else { return false };
        self.session.rows(gate, Some(port)).keys().any(|row| row.round <= round)
    }
}

/// The rows of a source with the inputs they belong to.
fn load(
    source: &dyn crate::Source,
    heap: &Heap,
    node: usize,
    width: usize,
) -> Result<Vec<(InputId, Row)>, SourceError> {
    let mut out = Out::new(heap, width);
    source.load(heap, &mut out)?;
    let rows = out.rows().iter().map(|(_, row)| (InputId::Rows(node), *row));
    let rejected = out.rejected().map(|row| (InputId::Rejected(node), row));
    Ok(rows.chain(rejected).collect())
}
