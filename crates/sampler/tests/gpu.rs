//! Whole models drawn from in the emulator, and on a GPU where there is one: the completions of the CPU, to the bit.

mod common;
#[path = "../../kernels/tests/emulated/mod.rs"]
mod emulated;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flow_kernels::gpu::{Address, Device, DeviceError, Emulator, Gpu, Launch};
use flow_model::names::{FINAL_NORM, is_router};
use flow_model::{Checkpoint, Config, RopeScaling, Tensor};
use flow_sampler::{Completion, Engine, Error, Params, Precision, Prompt, Request, Routing};

use common::{dense, generate, moe, random, switched};

/// All devices, the emulator with its threads in one order.
fn devices(descending: bool) -> Vec<Gpu> {
    emulated::devices(&[descending])
}

/// Draws of a few prompts, short and beyond a block, by all kinds of rules.
fn requests(routed: bool) -> Vec<Request> {
    let prompts = [3usize, 20, 20, 20, 33, 1]
        .map(|len| Prompt::Tokens((0..len as u32).map(|t| (t * 7 + len as u32) % 270).collect()));
    let all = Params { max_tokens: 7, ..Params::default() };
    let params = [
        all.clone(),
        Params { temperature: 0.0, ..all.clone() },
        Params { temperature: 0.7, top_p: 0.9, ..all.clone() },
        Params { top_k: 20, min_p: 0.02, ..all.clone() },
        Params { repetition_penalty: 1.3, ..all.clone() },
        Params { prefix: Some(Prompt::Tokens(vec![5, 6])), ..all },
    ];
    let routings = [None, Some(Routing::TopK(1)), Some(Routing::TopP(0.7)), Some(Routing::Rank(2))];
    let request = |(i, (prompt, params)): (usize, (Prompt, Params))| Request {
        prompt,
        params: Params { routing: routings[if routed { i % 4 } else { 0 }], ..params },
        stream: [i as u8 + 1; 16],
    };
    prompts.into_iter().zip(params).enumerate().map(request).collect()
}

fn bits(answer: &Result<Completion, Error>) -> (&[u32], Vec<u32>, &str) {
    let completion = answer.as_ref().unwrap();
    let logprobs = completion.logprobs.iter().map(|logprob| logprob.to_bits());
    (&completion.tokens, logprobs.collect(), &completion.text)
}

fn alike(model: &Checkpoint, precision: Precision, descending: bool, requests: &[Request], what: &str) {
    let engine = || Engine::with_precision(model, precision).unwrap();
    let expected = generate(&engine(), requests, 1);
    for device in devices(descending) {
        let engine = engine().on(device).unwrap();
        let what = format!("{} on {}", what, engine.device());
        for (i, (found, expected)) in generate(&engine, requests, 1).iter().zip(&expected).enumerate() {
            assert_eq!(bits(found), bits(expected), "{what}, request {i}");
        }
    }
}

#[test]
fn every_switch_of_a_model_draws_as_on_the_cpu() {
    let plain = [dense(), moe(None), moe(Some(36))];
    for (i, config) in plain.into_iter().chain(switched()).enumerate() {
        let routed = config.moe.is_some();
        let what = format!("model {i}: {:?}", config.block);
        alike(&random(config, i as u64), Precision::F32, i % 2 == 0, &requests(routed), &what);
    }
}

#[test]
fn narrow_weights_draw_as_on_the_cpu() {
    for precision in [Precision::Bf16, Precision::Int8] {
        for config in [dense(), moe(Some(36))] {
            alike(&random(config, 1), precision, true, &requests(false), &format!("{precision:?}"));
        }
    }
}

#[test]
fn positions_that_turn_with_the_length_draw_as_on_the_cpu() {
    let mut config = Config { rope_theta: 100.0, max_position_embeddings: 24, ..dense() };
    config.block.rope_scaling = RopeScaling::Dynamic { factor: 2.0, original: 24 };
    alike(&random(config, 3), Precision::F32, false, &requests(false), "dynamic positions");
}

#[test]
fn more_draws_than_fit_take_turns_and_a_second_call_starts_anew() {
    let model = random(dense(), 2);
    let engine = || Engine::new(&model).unwrap();
    let prompt = Prompt::Tokens((0..37).collect());
    let request = |i: u8| Request {
        prompt: prompt.clone(),
        params: Params { max_tokens: 3 + usize::from(i) % 4, ..Params::default() },
        stream: [i; 16],
    };
    let requests: Vec<Request> = (0..9).map(request).collect();
    let expected = generate(&engine(), &requests, 1);
    // Of 96 positions a draw needs three blocks, its prompt as many: two are under way at a time.
    let bytes = 7 * 16 * engine().bytes_per_position();
    for device in devices(false) {
        let on_device = engine().with_cache_bytes(bytes).on(device).unwrap();
        for _ in 0..2 {
            let found = generate(&on_device, &requests, 1);
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(bits(found), bits(expected), "{}", on_device.device());
            }
        }
    }
}

#[test]
fn damaged_weights_are_an_error_of_the_draw_there_too() {
    let mut model = random(dense(), 2);
    let tensor = &model.tensors[FINAL_NORM];
    let damaged = Tensor::new(tensor.shape.clone(), vec![f32::NAN; tensor.data.len()]);
    model.tensors.insert(FINAL_NORM.into(), damaged);
    for device in devices(false) {
        let engine = Engine::new(&model).unwrap().on(device).unwrap();
        let answers = generate(&engine, &requests(false), 1);
        assert!(answers.iter().all(|answer| matches!(answer, Err(Error::NotFinite { .. }))));
    }
}

#[test]
fn a_damaged_router_is_an_error_of_the_draw_there_too() {
    let mut config = moe(None);
    // A panel is full: nothing stands behind the last expert.
    config.moe.iter_mut().for_each(|moe| moe.num_experts = 32);
    for damage in [f32::NAN, f32::INFINITY] {
        let mut model = random(config.clone(), 2);
        let names: Vec<String> = model.tensors.keys().filter(|name| is_router(name)).cloned().collect();
        assert!(!names.is_empty());
        for name in names {
            let shape = model.tensors[&name].shape.clone();
            let damaged = Tensor::new(shape.clone(), vec![damage; shape.iter().product()]);
            model.tensors.insert(name, damaged);
        }
        for device in devices(false) {
            let engine = Engine::new(&model).unwrap().on(device).unwrap();
            let answers = generate(&engine, &requests(true), 1);
            assert!(answers.iter().all(|answer| matches!(answer, Err(Error::NotFinite { .. }))));
        }
    }
}

/// A device that fails after a number of launches, and says how many bytes it was asked for at most.
struct Failing {
    inner: Emulator,
    launches: usize,
    read: Arc<AtomicUsize>,
}

impl Device for Failing {
    fn name(&self) -> String {
        "a device that fails".into()
    }

    fn free_bytes(&self) -> Option<usize> {
        None
    }

    fn allocate(&mut self, bytes: usize) -> Result<Address, DeviceError> {
        self.inner.allocate(bytes)
    }

    fn free(&mut self, at: Address) {
        self.inner.free(at);
    }

    fn write(&mut self, to: Address, bytes: &[u8]) -> Result<(), DeviceError> {
        self.inner.write(to, bytes)
    }

    fn read(&mut self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.read.fetch_max(bytes.len(), Ordering::Relaxed);
        self.inner.read(from, bytes)
    }

    fn launch(&mut self, launch: &Launch<'_>) -> Result<(), DeviceError> {
        if self.launches == 0 {
            return Err(DeviceError::Failed { attempt: "launch".into(), reason: "it is tired".into() });
        }
        self.launches -= 1;
        self.inner.launch(launch)
    }
}

#[test]
fn a_device_that_fails_answers_every_request_once() {
    let model = random(dense(), 2);
    let expected = generate(&Engine::new(&model).unwrap(), &requests(false), 1);
    for launches in [0, 30, 150, 1_000_000] {
        let Some(inner) = emulated::emulator(false) else { return };
        let read = Arc::new(AtomicUsize::new(0));
        let device = Gpu::new(Failing { inner, launches, read: read.clone() });
        let engine = Engine::new(&model).unwrap().on(device).unwrap();
        let answers = generate(&engine, &requests(false), 1);
        let most = read.load(Ordering::Relaxed);
        assert!(
            most <= 4 * answers.len(),
            "an id or a log-probability for each draw comes back: {most} bytes"
        );
        let failed = answers.iter().filter(|answer| matches!(answer, Err(Error::Device(_)))).count();
        assert_eq!(failed > 0, launches < 1_000_000, "{failed} after {launches} launches");
        assert!(launches > 0 || failed == answers.len());
        for (answer, expected) in answers.iter().zip(&expected).filter(|(answer, _)| answer.is_ok()) {
            assert_eq!(bits(answer), bits(expected));
        }
    }
}
