//! What memory it takes to make a model ready: `cargo run --release -p flow-sampler --example loading`.
//!
//! Writes a random bf16 checkpoint of 121 M parameters (231 MiB) to a temporary folder and loads it for f32, bf16 and
//! int8 weights, each in a process of its own. Prints the packed weights, the most memory that the process held, how long it took and
//! a digest of the scores of a few tokens: of f32 and bf16 weights it is the same.
#![allow(clippy::print_stdout, reason = "an example reports to people")]

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use flow_model::{Block, Config, Folder, Tokenizer, names};
use flow_sampler::{Engine, Precision};

const PRECISIONS: [(&str, Precision); 3] =
    [("f32", Precision::F32), ("bf16", Precision::Bf16), ("int8", Precision::Int8)];

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [dir, weights] = &words[..] {
        let precision = PRECISIONS.into_iter().find(|(name, _)| name == weights).ok_or("no such weights")?;
        return load(Path::new(dir), precision);
    }
    let dir = std::env::temp_dir().join(format!("flow-loading-{}", std::process::id()));
    write(&dir)?;
    println!("| weights | packed | most memory | time | scores |\n| --- | --- | --- | --- | --- |");
    for (name, _) in PRECISIONS {
        Command::new(std::env::current_exe()?).arg(&dir).arg(name).status()?;
    }
    Ok(std::fs::remove_dir_all(dir)?)
}

fn load(dir: &Path, (name, precision): (&str, Precision)) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let engine = Engine::of_folder(&Folder::open(dir)?, precision)?;
    let wall_s = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let most_kib: f64 = most.trim().trim_end_matches(" kB").parse()?;
    let scores = engine.logits(&[1, 2, 3, 5, 8])?;
    let digest = scores.iter().fold(0u64, |sum, x| sum.rotate_left(5) ^ u64::from(x.to_bits()));
    let mib = engine.weight_bytes() as f64 / f64::from(1 << 20);
    println!("| {name} | {mib:.0} MiB | {:.0} MiB | {wall_s:.1} s | {digest:016x} |", most_kib / 1024.0);
    Ok(())
}

/// A folder with weights of about 0.02, which no f32 could be told from bf16 in.
fn write(dir: &Path) -> Result<(), Box<dyn Error>> {
    let config = config();
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("config.json"), config.to_json().to_string())?;
    std::fs::write(dir.join("tokenizer.json"), Tokenizer::train_byte_bpe(&["no merges"], 260, &[])?.json())?;
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in names::expected(&config) {
        let start = end;
        end += 2 * shape.iter().product::<usize>();
        let tensor = serde_json::json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, end]});
        header.insert(name, tensor);
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = BufWriter::new(File::create(dir.join("model.safetensors"))?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    let mut state = 1u64;
    for _ in 0..end / 2 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let value = ((state >> 40) as f32 / 16_777_216.0 - 0.5) * 0.07;
        file.write_all(&((value.to_bits() >> 16) as u16).to_le_bytes())?;
    }
    Ok(file.flush()?)
}

fn config() -> Config {
    Config {
        vocab_size: 16_000,
        hidden_size: 768,
        intermediate_size: 2_304,
        num_hidden_layers: 14,
        num_attention_heads: 12,
        num_key_value_heads: 4,
        head_dim: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        max_position_embeddings: 512,
        tie_word_embeddings: false,
        eos_token_ids: Vec::new(),
        bos_token_id: None,
        moe: None,
        block: Block::default(),
    }
}
