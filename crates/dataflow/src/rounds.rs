//! The driver closes the loop: what a round's training makes is the next round's model.

use std::collections::BTreeMap;

use flow_data::{Id, Item, Round, Row};

use crate::forecast::unknown_model;
use crate::{
    Body, InputId, Network, Out, Pending, Port, Session, SessionError, SourceError, SourceRows, Watch,
};

/// Feeds sources and models into a session until every round that can run has run.
pub struct Driver {
    session: Session,
    /// Digests of the declared models in round 1, by slot.
    initial: Vec<Id>,
    /// What has been fed, by slot and round.
    fed: BTreeMap<(usize, Round), Id>,
    /// The rows of each source, where they will be read again.
    loaded: Option<BTreeMap<usize, SourceRows>>,
    /// Edits of sources that wait until the models of later rounds are gone.
    edits: Vec<(InputId, Row, isize)>,
}

impl Driver {
    /// A driver whose declared models have these digests.
    pub fn new(session: Session, initial: Vec<Id>) -> Self {
        Self { session, initial, fed: BTreeMap::new(), loaded: None, edits: Vec::new() }
    }

    /// A driver that can read its sources again, [`Driver::reload`]. Those in `known`, by node, are not read by
    /// [`Driver::load`]: a driver before it has fed these rows, which are in the session's heap.
    #[must_use]
    pub fn reloading(self, known: BTreeMap<usize, SourceRows>) -> Self {
        Self { loaded: Some(known), ..self }
    }

    /// Ends the session; the rows of its sources by node, for a driver that takes its place. None unless it is
    /// [`Driver::reloading`].
    pub fn into_sources(self) -> BTreeMap<usize, SourceRows> {
        self.loaded.unwrap_or_default()
    }

    /// The running session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// As [`Session::end`].
    pub fn end(&mut self, done: bool) -> Option<Vec<Id>> {
        self.session.end(done)
    }

    /// Reads every source and feeds its rows, to be settled by [`Driver::settle`]. On an error, tells the step too.
    pub fn load(&mut self) -> Result<(), (usize, SourceError)> {
        let network = self.session.network().clone();
        for node in 0..network.nodes.len() {
            match self.loaded.as_ref().and_then(|loaded| loaded.get(&node)) {
                Some(rows) => rows.inputs(node).for_each(|(input, row)| self.session.stream(input, row)),
                None => self.stream(&network, node)?,
            }
        }
        Ok(())
    }

    /// Feeds the rows of a source while it is read.
    fn stream(&mut self, network: &Network, node: usize) -> Result<(), (usize, SourceError)> {
        let Body::Source(source) = &network.nodes[node].body else { return Ok(()) };
        let (heap, session, mut rows) =
            (self.session.heap().clone(), &mut self.session, SourceRows::default());
        let is_kept = self.loaded.is_some();
        let mut feed = |port: Option<Port>, row| {
            let input = if port.is_some() { InputId::Rows(node) } else { InputId::Rejected(node) };
            session.stream(input, row);
            if is_kept {
                rows.add(port, row);
            }
        };
        let mut out = Out::feeding(&heap, network.nodes[node].width, &mut feed);
        let Some(loaded) = &mut self.loaded else {
            return source.load(&heap, &mut out).map_err(|error| (node, error));
        };
        let memory = source.load_after(&heap, &SourceRows::default(), &mut out);
        let memory = memory.map_err(|error| (node, error))?;
        loaded.insert(node, rows.remembering(memory));
        Ok(())
    }

    /// Reads the sources `nodes` again and feeds what differs, to be settled by [`Driver::settle`]. Returns whether anything
    /// does. On an error nothing is fed, and the step is told too.
    ///
    /// Panics unless the driver is [`Driver::reloading`].
    pub fn reload(&mut self, nodes: &[usize]) -> Result<bool, (usize, SourceError)> {
        let network = self.session.network().clone();
        let loaded = self.loaded.as_mut().expect("the driver was made to read its sources again");
        let mut now = BTreeMap::new();
        for node in nodes {
            let Body::Source(source) = &network.nodes[*node].body else { continue };
            let (heap, width) = (self.session.heap(), network.nodes[*node].width);
            let rows = SourceRows::read(&**source, heap, width, loaded.entry(*node).or_default());
            now.insert(*node, rows.map_err(|error| (*node, error))?);
        }
        let (mut edits, mut feeds_back) = (Vec::new(), false);
        for (node, rows) in now {
            let changes = rows.since(loaded.entry(node).or_default(), node);
            loaded.insert(node, rows);
            feeds_back |= !changes.is_empty() && network.feeds_back(node);
            edits.extend(changes);
        }
        let differs = !edits.is_empty();
        if feeds_back {
            self.begin_again(edits);
        } else {
            edits.into_iter().for_each(|(input, row, diff)| self.session.update(input, row, diff));
        }
        Ok(differs)
    }

    /// Takes the models of all rounds but the first back, before `edits` are fed. What an edit means for a round is computed with
    /// the model that the round before makes of it: with the one that is fed now, answers would be asked for that nobody wants,
    /// and so too where a new row met it on the way out.
    fn begin_again(&mut self, edits: Vec<(InputId, Row, isize)>) {
        let first = self.session.network().rounds.kept + 1;
        self.take_back(first + 1);
        self.edits.extend(edits);
    }

    /// Feeds the edits that wait, when what was taken back for them has left all rounds. Returns whether there were any.
    fn feed_edits(&mut self, watch: &mut Watch<'_>) -> Result<bool, SessionError> {
        if self.edits.is_empty() {
            return Ok(false);
        }
        self.session.tick(watch)?;
        let edits = std::mem::take(&mut self.edits);
        edits.into_iter().for_each(|(input, row, diff)| self.session.update(input, row, diff));
        Ok(true)
    }

    /// Takes back the models of `round` and of all that follow.
    fn take_back(&mut self, round: Round) {
        let stale: Vec<_> =
            self.fed.iter().filter(|((_, r), _)| *r >= round).map(|(k, v)| (*k, *v)).collect();
        for ((slot, round), digest) in stale {
            self.feed(slot, round, digest, -1);
        }
    }

    /// Feeds a row that a finished round made, which stays as it was: see [`crate::Rounds::kept`].
    pub fn keep(&mut self, node: usize, port: Port, row: Row) {
        self.session.update(InputId::Fed(node, port), row, 1);
    }

    /// Changes a source's row by `diff` with the next tick.
    pub fn update(&mut self, input: InputId, row: Row, diff: isize) {
        self.session.update(input, row, diff);
    }

    /// Settles the present input, then feeds the models of later rounds as they are made, until nothing changes.
    /// `between` is called after each settled tick that another one follows, with the last round that has settled.
    pub fn settle(
        &mut self,
        watch: &mut Watch<'_>,
        between: &mut dyn FnMut(&Session, Round),
    ) -> Result<(), SessionError> {
        if !self.feed_edits(watch)? {
            self.feed_next();
        }
        for _ in 0..self.most_ticks() {
            self.session.tick(watch)?;
            let settled = self.last_round();
            let unknown = self.feed_unknown_models();
            if !self.feed_next() && !unknown {
                return Ok(());
            }
            between(&self.session, settled);
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
        self.take_back(round);
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
            let kept = network.rounds.kept;
            if !model.per_round {
                wanted.insert((slot, 0), self.initial[slot]);
            } else if kept == 0 {
                wanted.insert((slot, 1), self.initial[slot]);
            }
            let Some(trainer) = model.fed_by else { continue };
            for round in kept.max(1)..network.rounds.count {
                match self.trained(trainer, round) {
                    Some(digest) if !self.gated(round) => wanted.insert((slot, round + 1), digest),
                    _ => break,
                };
            }
        }
        wanted
    }

    /// The rows of a captured port, but for those that stand for models which only a run would train.
    pub fn rows(&self, step: usize, port: Option<Port>) -> impl Iterator<Item = Row> + use<> {
        let rows = self.session.rows(step, port).into_keys();
        rows.filter(move |row| row.id != unknown_model(step, row.round))
    }

    /// What a forecast cannot know; nothing in a session that makes its calls.
    pub fn pending(&self) -> Pending {
        Pending::of(self.session.network(), &self.session.efforts(), self.last_round())
    }

    /// The last round that has a model or was kept.
    pub fn last_round(&self) -> Round {
        let fed = self.fed.keys().map(|(_, round)| *round).max().unwrap_or(0);
        fed.max(self.session.network().rounds.kept)
    }

    fn trained(&self, trainer: usize, round: Round) -> Option<Id> {
        self.session.rows(trainer, Some(0)).keys().find(|row| row.round == round).map(|row| row.id)
    }

    /// In a forecast, puts what stands for a model in the place of those that only a run would train, or might train anew.
    /// Returns whether there were any.
    fn feed_unknown_models(&mut self) -> bool {
        let network = self.session.network().clone();
        let pending = self.pending();
        let makers = (0..network.nodes.len()).filter(|node| network.makes_model(*node));
        let rounds: Vec<_> =
            makers.flat_map(|node| pending.rounds(node).map(move |round| (node, round))).collect();
        let mut any = false;
        for (node, round) in rounds {
            let unknown = Item::new(self.session.heap(), round, unknown_model(node, round), Vec::new()).row;
            let mut there = self.session.rows(node, Some(0));
            there.retain(|row, _| row.round == round);
            let stands = there.remove(&unknown).is_some();
            // One that is there goes; one that was taken away and is not made any more has to be given back.
            any |= !stands || !there.is_empty();
            there.into_iter().for_each(|(row, n)| self.session.update(InputId::Fed(node, 0), row, -n));
            if !stands {
                self.session.update(InputId::Fed(node, 0), unknown, 1);
            }
        }
        any
    }

    fn gated(&self, round: Round) -> bool {
        let Some((gate, port)) = self.session.network().rounds.gate else { return false };
        self.session.rows(gate, Some(port)).keys().any(|row| row.round <= round)
    }
}
