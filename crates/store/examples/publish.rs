//! Publishes a small data set twice into the folder given as argument, for readers written in other languages to open.

use std::error::Error;
use std::path::Path;

use flow_data::{Column, Columns, Id, Type, Value};
use flow_store::{Layout, Manifest, Part, Publisher, encode_part, write_table};
use serde_json::json;

const ROWS_PER_PART: u32 = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("usage: publish FOLDER")?;
    let dir = Path::new(&dir);
    let publisher = Publisher::open(&dir.join("shards"))?;
    publisher.publish(&manifest(&publisher, 2)?)?;
    publisher.publish(&manifest(&publisher, 3)?)?;

    let rows: Vec<_> = (0..10).map(row).collect();
    write_table(&dir.join("steps.parquet"), &columns(), &rows)?;
    Ok(())
}

fn columns() -> Columns {
    Columns::new([
        Column::new("row_id", Type::Text, false, "Identity of the row."),
        Column::new("round", Type::Int, false, "The round that made it."),
        Column::new("messages", Type::Texts, false, "The chat: roles and contents in turn."),
        Column::new("step", Type::Text, false, "The step whose output was written."),
        Column::new("pass_rate", Type::Float, true, "Share of right answers, 0 to 1; null when not judged."),
        Column::new("correct", Type::Bool, false, "Whether the answer is right."),
        Column::new("logprobs", Type::Floats, true, "Natural-log probability of each token."),
        Column::new("parent_ids", Type::Texts, false, "Row ids of the rows it was made from."),
    ])
}

fn row(n: u32) -> Vec<Value> {
    let id = Id::of("example", [n.to_le_bytes().as_slice()]).to_string();
    let turns =
        ["user", &format!("What is {n} + 1?"), "assistant", &format!("#### {}", n + 1)].map(str::to_owned);
    let turns = Value::texts(turns.iter().map(String::as_str));
    let rate = (!n.is_multiple_of(3)).then(|| f64::from(n % 10) / 10.0);
    let logprobs = Value::Floats([-0.5, -0.25].into());
    vec![
        id.as_str().into(),
        i64::from(n / ROWS_PER_PART).into(),
        turns,
        "chosen".into(),
        rate.into(),
        n.is_multiple_of(2).into(),
        if n.is_multiple_of(5) { Value::Null } else { logprobs },
        Value::texts([id.as_str()]),
    ]
}

fn manifest(publisher: &Publisher, n_parts: u32) -> Result<Manifest, Box<dyn Error>> {
    let layout = Layout { chat: Some("messages"), metadata: &[("flow.kind", "example")] };
    let mut parts = Vec::new();
    for at in 0..n_parts {
        let rows: Vec<_> = (at * ROWS_PER_PART..(at + 1) * ROWS_PER_PART).map(row).collect();
        let bytes = encode_part(&columns(), &rows, &layout, 1)?;
        let digest = publisher.parts().stage(&bytes)?;
        let path = format!("round-{at:03}/part-00.{digest}.parquet");
        parts.push(Part { path, digest, n_rows: rows.len() as u64, n_bytes: bytes.len() as u64 });
    }
    let lineage = json!({"pipeline": "example"}).as_object().cloned().unwrap_or_default();
    Ok(Manifest::new(&columns(), layout.chat, parts, lineage))
}
