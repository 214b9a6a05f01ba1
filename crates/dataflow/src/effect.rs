//! Effects: an operator that holds back each row, under the capability of its time, until the answers are in.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use flow_data::{Id, Item, Round, Row, Value};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

use differential_dataflow::AsCollection;

use crate::carry::carry;
use crate::engine::{Client, Mailbox, Reply};
use crate::render::{Place, Rows, Tick};
use crate::{EffectOp, Effort, Emission, Failure, Out, Request};

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
    /// To all requests so far, in their order.
    replies: Vec<Option<Reply>>,
    missing: usize,
}

/// Requests that go to the engine, and how many answers are known without it.
#[derive(Default)]
struct Orders {
    asked: Vec<Request>,
    known: usize,
    /// In a forecast: keys of requests that are to be made again, whose answers are foreseen.
    foreseen: Vec<Id>,
}

impl Desk {
    /// Takes updates in; returns the output of those that need no engine.
    fn admit(&mut self, capability: &Capability<Tick>, updates: Vec<(Input, Tick, isize)>) -> Vec<Update> {
        let mut ready = Vec::new();
        let mut orders = Orders::default();
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
            let mut replies = Vec::with_capacity(requests.len());
            let unknown = self.look_up(&item, model, requests, &mut replies, &mut orders);
            if !orders.foreseen.is_empty() {
                let again = self.client.count(orders.foreseen.drain(..), diff);
                self.spend(row.round, Effort { again, ..Effort::default() });
            }
            if unknown.is_empty() {
                ready.extend(self.finish(&item, &update, &replies));
            } else if self.client.only_counts() {
                ready.extend(self.count(&item, &update, &replies, &unknown));
            } else {
                let pending = Pending { capability: capability.clone(), update, replies, missing: 0 };
                self.await_replies(pending, unknown, &mut orders);
            }
        }
        self.order(orders);
        ready
    }

    /// Takes replies in; returns the output of the rows that they complete.
    fn settle(&mut self) -> Vec<(Capability<Tick>, Vec<Update>)> {
        let mut ready = Vec::new();
        let mut orders = Orders::default();
        for (key, reply) in self.mailbox.collect() {
            for (slot, index) in self.by_key.remove(&key).unwrap_or_default() {
                let pending = self.pending.get_mut(&slot).expect("a row waits until its last reply");
                pending.replies[index] = Some(reply.clone());
                pending.missing -= 1;
                if pending.missing > 0 {
                    continue;
                }
                let mut pending = self.pending.remove(&slot).expect("it was there a line ago");
                let (row, model) = pending.update.0;
                let item = Item::load(&self.place.heap, row);
                let requests = self.further(&item, model, &pending.replies);
                let unknown = self.look_up(&item, model, requests, &mut pending.replies, &mut orders);
                if unknown.is_empty() {
                    ready.push((pending.capability, self.finish(&item, &pending.update, &pending.replies)));
                } else {
                    self.await_replies(pending, unknown, &mut orders);
                }
            }
        }
        self.order(orders);
        ready
    }

    /// Adds what is known of `requests`, and of those that follow from what is known, to `replies`. Returns the requests of which
    /// nothing is known, each with its place among the replies.
    fn look_up(
        &self,
        item: &Item,
        model: Option<Id>,
        mut requests: Vec<Request>,
        replies: &mut Vec<Option<Reply>>,
        orders: &mut Orders,
    ) -> Vec<(usize, Request)> {
        let mut unknown = Vec::new();
        while unknown.is_empty() && !requests.is_empty() {
            for request in requests {
                let mut reply = self.client.known(&request.key, &*self.op);
                orders.known += usize::from(reply.is_some());
                if reply.is_none() {
                    reply = self.client.foreseen(&request.key, &*self.op);
                    orders.foreseen.extend(reply.iter().map(|_| request.key));
                }
                unknown.extend(reply.is_none().then_some((replies.len(), request)));
                replies.push(reply);
            }
            requests = if unknown.is_empty() { self.further(item, model, replies) } else { Vec::new() };
        }
        unknown
    }

    /// What is to be asked after `replies`, none of which is missing; nothing where one is a failure.
    fn further(&self, item: &Item, model: Option<Id>, replies: &[Option<Reply>]) -> Vec<Request> {
        answers(replies).map(|answers| self.op.further(item, model, &answers)).unwrap_or_default()
    }

    /// Keeps a row until the replies to what is unknown have come.
    fn await_replies(&mut self, pending: Pending, unknown: Vec<(usize, Request)>, orders: &mut Orders) {
        let missing = unknown.len();
        for (index, request) in unknown {
            self.by_key.entry(request.key).or_default().push((self.next, index));
            orders.asked.push(request);
        }
        self.pending.insert(self.next, Pending { missing, ..pending });
        self.next += 1;
    }

    fn order(&self, Orders { asked, known, .. }: Orders) {
        let n = known + asked.len();
        let fresh = match asked.is_empty() {
            true => 0,
            false => self.client.ask((self.place.node, self.place.stage), &self.op, asked, &self.mailbox),
        };
        self.count_requests(n - fresh, fresh);
    }

    /// Counts what is unknown instead of asking; returns the output of the answers before it, where they make rows of their own.
    fn count(
        &self,
        item: &Item,
        update: &(Input, Tick, isize),
        replies: &[Option<Reply>],
        unknown: &[(usize, Request)],
    ) -> Vec<Update> {
        let ((row, _), _, diff) = *update;
        let missing = self.client.count(unknown.iter().map(|(_, request)| request.key), diff);
        let leading = replies.iter().take_while(|reply| reply.is_some()).count();
        let finished = if self.op.answers_stand_alone() { leading } else { 0 };
        let others = (replies.len() - finished) as i64 * diff as i64;
        self.spend(row.round, Effort { requests: others, missing, ..Effort::default() });
        match finished {
            0 => Vec::new(),
            _ => self.finish(item, update, &replies[..finished]),
        }
    }

    fn spend(&self, round: Round, effort: Effort) {
        self.place.counts.node(self.place.node).spend(round, effort);
    }

    fn finish(&self, item: &Item, update: &(Input, Tick, isize), replies: &[Option<Reply>]) -> Vec<Update> {
        let ((row, model), time, diff) = *update;
        let mut out = Out::new(&self.place.heap, self.place.width);
        match answers(replies) {
            Ok(answers) => {
                let tokens: u64 = answers.iter().map(|answer| self.op.tokens(answer)).sum();
                let (requests, tokens) = (diff as i64 * answers.len() as i64, diff as i64 * tokens as i64);
                self.spend(row.round, Effort { requests, tokens, ..Effort::default() });
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

/// The answers of replies none of which is missing, or the first failure among them.
fn answers(replies: &[Option<Reply>]) -> Result<Vec<&[Value]>, &Failure> {
    let known = replies.iter().map(|reply| reply.as_deref().expect("no reply is missing"));
    known.map(|answer| answer.as_ref().map(Vec::as_slice)).collect()
}
