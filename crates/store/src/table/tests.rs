//! Tables written and read back, and files by others or damaged ones.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use arrow_array::types::{Float64Type, Int8Type};
use arrow_array::{
    ArrayRef, BinaryArray, DictionaryArray, FixedSizeListArray, Float32Array, LargeListArray,
    LargeStringArray, ListArray, NullArray, RecordBatch, StringViewArray, UInt16Array, UInt64Array,
};
use flow_data::{Column, Columns, Type, Value};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::disk::faults::{Fault, strike};

type Rows = Vec<Vec<Value>>;

fn columns(kinds: &[(Type, bool)]) -> Columns {
    let column =
        |(at, &(kind, nullable))| Column::new(&format!("c{at}"), kind, nullable, &format!("Column {at}."));
    Columns::new(kinds.iter().enumerate().map(column))
}

fn encode(columns: &Columns, rows: &Rows) -> Result<Vec<u8>, Error> {
    encode_part(columns, rows, &Layout::default(), 1)
}

fn read(bytes: &[u8]) -> Result<(Columns, Rows), Error> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x.parquet");
    fs::write(&path, bytes).unwrap();
    read_table(&path)
}

fn metadata(bytes: &[u8]) -> ParquetMetaData {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    reader.parse_and_finish(&file).unwrap()
}

fn cell(kind: Type) -> BoxedStrategy<Value> {
    match kind {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::Int => any::<i64>().prop_map(Value::Int).boxed(),
        Type::Float => (-1e9..1e9).prop_map(Value::Float).boxed(),
        Type::Text => "\\PC{0,8}".prop_map(Value::from).boxed(),
        Type::Texts => {
            vec("[a-c]{0,2}", 0..4).prop_map(|v| Value::texts(v.iter().map(String::as_str))).boxed()
        }
        Type::Floats => vec(-1f32..1., 0..4).prop_map(|v| Value::Floats(v.into())).boxed(),
    }
}

fn kinds() -> impl Strategy<Value = Vec<(Type, bool)>> {
    let kind = proptest::sample::select(&[
        Type::Bool,
        Type::Int,
        Type::Float,
        Type::Text,
        Type::Texts,
        Type::Floats,
    ]);
    vec((kind, any::<bool>()), 1..6)
}

fn table() -> impl Strategy<Value = (Columns, Rows)> {
    kinds().prop_flat_map(|kinds| {
        let cell = |&(kind, nullable): &(Type, bool)| match nullable {
            true => prop_oneof![Just(Value::Null), cell(kind)].boxed(),
            false => cell(kind),
        };
        let row: Vec<_> = kinds.iter().map(cell).collect();
        (Just(columns(&kinds)), vec(row, 0..12))
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read((columns, rows) in table()) {
        let bytes = encode(&columns, &rows).unwrap();
        prop_assert_eq!(&bytes, &encode(&columns, &rows).unwrap());
        prop_assert_eq!(read(&bytes).unwrap(), (columns, rows));
    }

    #[test]
    fn a_file_cut_short_is_an_error((columns, rows) in table(), cut in 0.0..1.0) {
        let bytes = encode(&columns, &rows).unwrap();
        let kept = (bytes.len() as f64 * cut) as usize;
        let error = read(&bytes[..kept]).unwrap_err().to_string();
        prop_assert!(error.ends_with("x.parquet` as Parquet"), "{}", error);
    }

    #[test]
    fn a_damaged_file_never_panics((columns, rows) in table(), damage in vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut bytes = encode(&columns, &rows).unwrap();
        for (at, byte) in damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let _ = read(&bytes);
    }
}

#[test]
fn no_single_damaged_byte_panics() {
    let row = vec!["a".into(), 1.into(), Value::texts(["b"])];
    let columns = columns(&[(Type::Text, false), (Type::Int, true), (Type::Texts, true)]);
    let bytes = encode(&columns, &vec![row; 3]).unwrap();
    let mut n_refused = 0;
    for at in 0..bytes.len() {
        for damage in [1, 0x80, 0xFF] {
            let mut bytes = bytes.clone();
            bytes[at] ^= damage;
            n_refused += usize::from(read(&bytes).is_err());
        }
    }
    assert!(n_refused > bytes.len() / 4, "{n_refused} of {} refused", 3 * bytes.len());
}

#[test]
fn a_hidden_column_is_not_written() {
    let columns = Columns::new([
        Column::new("x", Type::Int, false, "First."),
        Column::new("y", Type::Text, false, "Other."),
        Column::new("x", Type::Bool, false, "Second."),
    ]);
    let rows = vec![vec![1.into(), "a".into(), true.into()]];
    let (found, rows) = read(&encode(&columns, &rows).unwrap()).unwrap();
    assert_eq!(found.names().collect::<Vec<_>>(), ["y", "x"]);
    assert_eq!(rows, [["a".into(), true.into()]]);
}

#[test]
fn a_cell_that_does_not_fit_is_named() {
    let misfits = [
        (Type::Int, Value::Float(1.0), "expected int, found float"),
        (Type::Float, Value::Int(1), "expected float, found int"),
        (Type::Text, Value::Null, "expected text, found null"),
        (Type::Texts, "a".into(), "expected list<text>, found text"),
        (Type::Floats, Value::texts(["a"]), "expected list<float>, found list<text>"),
        (Type::Bool, Value::Int(0), "expected bool, found int"),
    ];
    for (kind, cell, expected) in misfits {
        let good = match kind {
            Type::Int => 1.into(),
            Type::Float => 1.0.into(),
            Type::Text => "a".into(),
            Type::Texts => Value::texts(["a"]),
            Type::Floats => Value::Floats([1.0].into()),
            Type::Bool => true.into(),
        };
        let mut rows = vec![vec![good]; 5000];
        rows[4999] = vec![cell];
        let error = encode(&columns(&[(kind, false)]), &rows).unwrap_err().to_string();
        assert_eq!(error, format!("row 4999 does not fit column `c0`: {expected}"));
    }
}

#[test]
fn a_row_shorter_than_its_columns_ends_in_nulls() {
    let rows = vec![vec![1.into()]];
    let (_, found) =
        read(&encode(&columns(&[(Type::Int, false), (Type::Text, true)]), &rows).unwrap()).unwrap();
    assert_eq!(found, [[1.into(), Value::Null]]);
    assert!(encode(&columns(&[(Type::Int, false), (Type::Text, false)]), &rows).is_err());
}

#[test]
fn a_chat_is_messages_on_disk_and_texts_in_turn_here() {
    let columns = Columns::new([Column::new("messages", Type::Texts, true, "The chat.")]);
    let layout = Layout { chat: Some("messages"), ..Layout::default() };
    let turns = ["user", "2+2?", "assistant", "4", "user", "sure?", "assistant", "yes"];
    let rows = vec![vec![Value::texts(turns)], vec![Value::Null], vec![Value::texts([])]];
    let bytes = encode_part(&columns, &rows, &layout, 1).unwrap();
    assert_eq!(read(&bytes).unwrap(), (columns.clone(), rows));

    let leaves = metadata(&bytes).file_metadata().schema_descr().columns().to_vec();
    let paths: Vec<_> = leaves.iter().map(|leaf| leaf.path().string()).collect();
    assert_eq!(paths, ["messages.list.element.role", "messages.list.element.content"]);

    let odd = vec![vec![Value::texts(["user", "2+2?", "assistant"])]];
    let error = encode_part(&columns, &odd, &layout, 1).unwrap_err().to_string();
    assert!(
        error.ends_with("expected list<text> of roles and contents in turn, found an odd number of texts")
    );
}

#[test]
fn a_part_is_laid_out_for_those_who_query_it() {
    let columns = Columns::new([
        Column::new("row_id", Type::Text, false, "Identity."),
        Column::new("completion", Type::Text, false, "Unique text."),
        Column::new("step", Type::Text, false, "A label."),
        Column::new("logprobs", Type::Floats, false, "Numbers."),
    ]);
    let row = |n: i32| {
        let text = format!("{n:032x}");
        let logprobs = Value::Floats([n as f32].into());
        vec![text.as_str().into(), text.repeat(9).into(), "attempts".into(), logprobs]
    };
    let rows: Rows = (0..200_000).map(row).collect();
    let metadata = metadata(&encode(&columns, &rows).unwrap());
    assert_eq!(metadata.file_metadata().created_by(), Some("flow version 1.0.0"));
    assert_eq!(
        metadata.row_groups().iter().map(|group| group.num_rows()).collect::<Vec<_>>(),
        [131_072, 68_928]
    );
    let chunks = metadata.row_group(0).columns();
    let dictionary = |at: usize| chunks[at].encodings().any(|encoding| encoding == Encoding::RLE_DICTIONARY);
    assert_eq!([0, 1, 2, 3].map(dictionary), [false, false, true, false]);
    assert_eq!([0, 1].map(|at: usize| chunks[at].bloom_filter_length().is_some()), [true, false]);
    assert!(chunks.iter().all(|chunk| chunk.column_index_offset().is_some()));
    let zstd = |level| Compression::ZSTD(ZstdLevel::try_new(level).unwrap());
    assert!(
        chunks
            .iter()
            .all(|chunk| std::mem::discriminant(&chunk.compression()) == std::mem::discriminant(&zstd(3)))
    );
}

#[test]
fn the_footer_keeps_its_pairs_in_order() {
    let layout = Layout { metadata: &[("flow.kind", "draw"), ("a", "b")], ..Layout::default() };
    let rows: Rows = Vec::new();
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x.parquet");
    fs::write(&path, encode_part(&columns(&[(Type::Int, false)]), &rows, &layout, 1).unwrap()).unwrap();
    let reader = TableReader::open(&path, None).unwrap();
    let pairs: Vec<_> = reader.metadata().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(pairs, layout.metadata);
    assert_eq!(reader.count(), 0);
}

fn foreign(arrays: Vec<(&str, ArrayRef)>) -> (TempDir, std::path::PathBuf) {
    let batch =
        RecordBatch::try_from_iter_with_nullable(arrays.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("foreign.parquet");
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    (dir, path)
}

#[test]
fn files_of_others_are_read() {
    let doubles = vec![Some(vec![Some(0.5), Some(0.25)]), None];
    let fixed = vec![Some(vec![Some(1.0), Some(2.0)]), Some(vec![Some(3.0), Some(4.0)])];
    let labels: DictionaryArray<Int8Type> = [Some("x"), None].into_iter().collect();
    let (_dir, path) = foreign(vec![
        ("large", Arc::new(LargeStringArray::from(vec![Some("a"), None]))),
        ("view", Arc::new(StringViewArray::from(vec![Some("a text longer than twelve bytes"), None]))),
        ("label", Arc::new(labels)),
        ("small", Arc::new(UInt16Array::from(vec![Some(65_535), None]))),
        ("single", Arc::new(Float32Array::from(vec![Some(0.5), None]))),
        ("doubles", Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(doubles.clone()))),
        ("wide", Arc::new(LargeListArray::from_iter_primitive::<Float64Type, _, _>(doubles))),
        ("fixed", Arc::new(FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(fixed, 2))),
        ("nothing", Arc::new(NullArray::new(2))),
    ]);
    let (columns, rows) = read_table(&path).unwrap();
    let kinds: Vec<_> = columns.visible().map(|(_, column)| column.kind.to_string()).collect();
    let expected =
        ["text", "text", "text", "int", "float", "list<float>", "list<float>", "list<float>", "text"];
    assert_eq!(kinds, expected);
    let floats = |floats: [f32; 2]| Value::Floats(floats.into());
    let (text, half) = (Value::from("a text longer than twelve bytes"), floats([0.5, 0.25]));
    assert_eq!(rows[0][..5], ["a".into(), text, "x".into(), 65_535.into(), 0.5.into()]);
    assert_eq!(rows[0][5..], [half.clone(), half, floats([1.0, 2.0]), Value::Null]);
    let null = |n| vec![Value::Null; n];
    assert_eq!(rows[1], [null(7), vec![floats([3.0, 4.0])], null(1)].concat());
}

#[test]
fn columns_are_read_in_the_order_asked_for() {
    let columns = columns(&[(Type::Int, false), (Type::Text, false), (Type::Bool, false)]);
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x.parquet");
    let rows: Rows = (0..3000).map(|n| vec![n.into(), "a".into(), true.into()]).collect();
    write_table(&path, &columns, &rows).unwrap();

    let mut reader = TableReader::open(&path, Some(&["c2", "c0", "c2"])).unwrap();
    assert_eq!(reader.columns().names().collect::<Vec<_>>(), ["c2", "c0"]);
    assert_eq!(reader.n_rows(), 3000);
    assert_eq!(reader.next().unwrap().unwrap()[7], [true.into(), 7.into()]);
    assert_eq!(reader.map(|batch| batch.unwrap().len()).sum::<usize>(), 3000 - 1024);

    let error = TableReader::open(&path, Some(&["c3"])).err().unwrap().to_string();
    assert!(error.ends_with("it has c0, c1, c2"), "{error}");
}

#[test]
fn what_no_value_holds_is_an_error_unless_left_out() {
    let lists = vec![Some(vec![Some(0.5)]), Some(vec![None])];
    let (_dir, path) = foreign(vec![
        ("id", Arc::new(UInt64Array::from(vec![1, u64::MAX]))),
        ("raw", Arc::new(BinaryArray::from(vec![b"a".as_slice(), b"b"]))),
        ("holes", Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists))),
    ]);
    let error = |select: &[&str]| {
        let read = TableReader::open(&path, Some(select)).and_then(|mut reader| reader.next().unwrap());
        read.unwrap_err().to_string()
    };
    assert!(error(&["raw"]).contains("column `raw`"), "{}", error(&["raw"]));
    assert!(error(&["raw"]).ends_with("its type Binary is not supported"), "{}", error(&["raw"]));
    assert!(error(&["id"]).contains("cannot read row 1 of column `id`"), "{}", error(&["id"]));
    assert!(error(&["holes"]).ends_with("null in the list"), "{}", error(&["holes"]));
}

#[test]
fn a_table_is_replaced_whole_or_not_at_all() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("runs.parquet");
    fs::write(dir.path().join(".tmp-runs.parquet"), "left over from a crash").unwrap();
    let columns = columns(&[(Type::Int, false)]);
    let rows = |n| vec![vec![Value::Int(n)]];
    write_table(&path, &columns, &rows(1)).unwrap();
    for spared in 0.. {
        let (written, struck) = strike(Fault::Once, spared, || write_table(&path, &columns, &rows(2)));
        if !struck {
            written.unwrap();
            break;
        }
        let error = written.unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        let found = read_table(&path).unwrap().1;
        assert!(found == rows(1) || found == rows(2));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
        write_table(&path, &columns, &rows(1)).unwrap();
    }
    assert_eq!(read_table(&path).unwrap().1, rows(2));
}
