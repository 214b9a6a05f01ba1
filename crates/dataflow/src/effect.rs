//! Effects: an operator that holds back each row, under the capability of its time, until the answers are in.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use flow_data::{Id, Item, Row, Value};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

use differential_dataflow::AsCollection;

use crate::carry::carry;
use crate::engine::{Client, Mailbox, Reply};
use crate::render::{Place, Rows, Tick};
use crate::{EffectOp, Emission, Out};

type Input = (Row, Option<Id>);
type Update = (Emission, Tick, isize);

/// Answers what is known at once, retractions included, and asks the engine for the rest.
pub(crate) fn render<'scope>(
    place: Place,
    op: Arc<dyn EffectOp>,
    client: Client,
    rows: Rows<'scope, Input>,
) -> Rows<'scope, Emission> {
    let name = place.name().to_owned();
    // By content, so that rows which ask the same meet in one place where that is all they ask by.
    let by_content = Exchange::new(|((row, _), _, _): &(Input, Tick, isize)| row.body.leading());
    let rows = carry(place.team, &place.heap, rows, |(row, _)| *row, |(row, _)| row.body.leading());
    rows.inner
        .clone()
        .unary::<CapacityContainerBuilder<Vec<Update>>, _, _, _>(by_content, &name, |_, info| {
            let activator = rows.inner.scope().worker().sync_activator_for(info.address.to_vec());
            let mailbox = Arc::new(Mailbox::new(activator));
            let mut desk =
                Desk { place, op, client, mailbox, pending: HashMap::new(), by_key: HashMap::new(), next: 0 };
            move |input, output| {
                input.for_each_stamp(|capability, data| {
                    let Some(capability) = capability.retain_least(0) else { return };
                    let mut updates: Vec<_> = data.flat_map(|batch| batch.drain(..)).collect();
                    differential_dataflow::consolidation::consolidate_updates(&mut updates);
                    let ready = desk.admit(&capability, updates);
                    output.session(&capability).give_iterator(ready.into_iter());
                });
                for (capability, ready) in desk.settle() {
                    output.session(&capability).give_iterator(ready.into_iter());
                }
            }
        })
        .as_collection()
}

/// One worker's rows that wait for answers.
struct Desk {
    place: Place,
    op: Arc<dyn EffectOp>,
    client: Client,
    mailbox: Arc<Mailbox>,
    pending: HashMap<u64, Pending>,
    by_key: HashMap<Id, Vec<(u64, usize)>>,
    next: u64,
}

struct Pending {
    capability: Capability<Tick>,
    update: (Input, Tick, isize),
    replies: Vec<Option<Reply>>,
    missing: usize,
}

impl Desk {
    /// Takes updates in; returns the output of those that need no engine.
    fn admit(&mut self, capability: &Capability<Tick>, updates: Vec<(Input, Tick, isize)>) -> Vec<Update> {
        let mut ready = Vec::new();
        let mut asked = Vec::new();
        let mut n_requests = 0;
        for update in updates {
            let ((row, model), time, diff) = update;
            self.place.count_input(diff);
            let item = Item::load(&self.place.heap, row);
            let requests = match self.op.requests(&item, model) {
                Ok(requests) => requests,
                Err((reason, detail)) => {
                    let mut out = Out::new(&self.place.heap, self.place.width);
                    out.reject(&item, reason, detail);
                    ready.extend(self.place.emit(out, row, time, diff));
                    continue;
                }
            };
            let replies: Vec<_> =
                requests.iter().map(|request| self.client.known(&request.key, &*self.op)).collect();
            let missing = replies.iter().filter(|reply| reply.is_none()).count();
            n_requests += replies.len();
            if missing == 0 {
                ready.extend(self.finish(&item, &update, &replies));
                continue;
            }
            if self.client.only_counts() {
                let keys = requests.iter().zip(&replies).filter(|(_, reply)| reply.is_none());
                let more = self.client.count(keys.map(|(request, _)| request.key), diff);
                let leading = replies.iter().take_while(|reply| reply.is_some()).count();
                let finished = if self.op.answers_stand_alone() { leading } else { 0 };
                if finished > 0 {
                    ready.extend(self.finish(&item, &update, &replies[..finished]));
                }
                let others = (replies.len() - finished) as i64 * diff as i64;
                self.place.counts.node(self.place.node).spend(row.round, others, more, 0);
                continue;
            }
            for (index, request) in requests.into_iter().enumerate() {
                if replies[index].is_none() {
                    self.by_key.entry(request.key).or_default().push((self.next, index));
                    asked.push(request);
                }
            }
            let pending = Pending { capability: capability.clone(), update, replies, missing };
            self.pending.insert(self.next, pending);
            self.next += 1;
        }
        let fresh = match asked.is_empty() {
            true => 0,
            false => self.client.ask((self.place.node, self.place.stage), &self.op, asked, &self.mailbox),
        };
        self.count_requests(n_requests - fresh, fresh);
        ready
    }

    /// Takes replies in; returns the output of the rows that they complete.
    fn settle(&mut self) -> Vec<(Capability<Tick>, Vec<Update>)> {
        let mut ready = Vec::new();
        for (key, reply) in self.mailbox.collect() {
            for (slot, index) in self.by_key.remove(&key).unwrap_or_default() {
                let pending = self.pending.get_mut(&slot).expect("a row waits until its last reply");
                pending.replies[index] = Some(reply.clone());
                pending.missing -= 1;
                if pending.missing > 0 {
                    continue;
                }
                let pending = self.pending.remove(&slot).expect("it was there a line ago");
                let item = Item::load(&self.place.heap, pending.update.0.0);
                ready.push((pending.capability, self.finish(&item, &pending.update, &pending.replies)));
            }
        }
        ready
    }

    fn finish(&self, item: &Item, update: &(Input, Tick, isize), replies: &[Option<Reply>]) -> Vec<Update> {
        let ((row, model), time, diff) = *update;
        let mut out = Out::new(&self.place.heap, self.place.width);
        let answers: Result<Vec<&[Value]>, _> = replies
            .iter()
            .map(|reply| reply.as_deref().expect("no reply is missing").as_ref().map(Vec::as_slice))
            .collect();
        match answers {
            Ok(answers) => {
                let tokens: u64 = answers.iter().map(|answer| self.op.tokens(answer)).sum();
                let (requests, tokens) = (diff as i64 * answers.len() as i64, diff as i64 * tokens as i64);
                self.place.counts.node(self.place.node).spend(row.round, requests, 0, tokens);
                self.op.rows(item, model, &answers, &mut out);
            }
            Err(failure) => out.reject(item, failure.reason, failure.detail.clone()),
        }
        self.place.emit(out, row, time, diff)
    }

    fn count_requests(&self, reused: usize, fresh: usize) {
        let counts = self.place.counts.node(self.place.node);
        counts.reused.fetch_add(reused as u64, Relaxed);
        counts.calls.fetch_add(fresh as u64, Relaxed);
    }
}
