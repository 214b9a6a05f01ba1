"""Opens what Flow published with the tools people have, and checks it against the manifest.

Usage: read_outputs.py PATH...

A PATH is a folder published by a `write` step (it holds `current`) or one Parquet file, such as a run table. Each is
read with pyarrow, DuckDB and Polars, and with `datasets` where that is installed: all must agree on columns, types, row
counts and values. Needs: pip install pyarrow duckdb polars
"""

import importlib.util
import json
import sys
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

ARROW = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "list<text>": pa.list_(pa.field("element", pa.string(), nullable=False)),
    "list<float>": pa.list_(pa.field("element", pa.float32(), nullable=False)),
}
MESSAGE = pa.struct([pa.field("role", pa.string(), False), pa.field("content", pa.string(), False)])
CHAT = pa.list_(pa.field("element", MESSAGE, nullable=False))


def expected_schema(manifest):
    """The Arrow schema that the manifest promises, with the meaning of each column."""
    fields = []
    for column in manifest["columns"]:
        kind = CHAT if column["name"] == manifest["chat"] else ARROW[column["type"]]
        fields.append(pa.field(column["name"], kind, column["nullable"], {"doc": column["doc"]}))
    return pa.schema(fields)


def check_footer(path, part):
    """One part's size, row count, encodings and row lookup, as the manifest and the format promise."""
    footer = pq.read_metadata(path)
    assert path.stat().st_size == part["n_bytes"], f"{path}: size"
    assert footer.num_rows == part["n_rows"], f"{path}: rows"
    assert footer.created_by.startswith("flow version"), f"{path}: created by {footer.created_by}"
    for group in range(footer.num_row_groups):
        for at in range(footer.num_columns):
            chunk = footer.row_group(group).column(at)
            assert chunk.compression == "ZSTD" and chunk.has_offset_index, f"{path}: {chunk.path_in_schema}"


def check_readers(paths, table):
    """DuckDB and Polars read the same columns and values as pyarrow did."""
    names = [str(path) for path in paths]
    rows = table.to_pylist()
    relation = duckdb.read_parquet(names, hive_partitioning=False)
    duck = relation.to_arrow_table()
    assert duck.column_names == table.column_names, f"DuckDB columns: {duck.column_names}"
    assert duck.to_pylist() == rows, "DuckDB values"
    frame = polars.read_parquet(names, hive_partitioning=False)
    assert frame.columns == table.column_names, f"Polars columns: {frame.columns}"
    assert frame.to_dicts() == rows, "Polars values"
    if rows and importlib.util.find_spec("datasets"):
        check_datasets(names, rows)


def check_datasets(names, rows):
    """Hugging Face `datasets` reads the same values, chat columns as the messages that trainers expect."""
    import tempfile

    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        found = datasets.load_dataset("parquet", data_files=names, split="train", cache_dir=cache)
        assert found.to_list() == rows, "datasets values"


def check_globs(folder, n_rows):
    """The globs that people type see one snapshot, each row once."""
    glob = str(folder / "current" / "**" / "*.parquet")
    assert duckdb.sql(f"select count(*) from '{glob}'").fetchall() == [(n_rows,)], "DuckDB glob"
    assert polars.scan_parquet(glob).select(polars.len()).collect().item() == n_rows, "Polars glob"
    assert pq.read_table(folder / "current").num_rows == n_rows, "pyarrow folder"


def check_snapshot(folder):
    """A published folder, part by part and as a whole."""
    current = folder / "current"
    manifest = json.loads((current / "_manifest.json").read_text())
    paths = [current / part["path"] for part in manifest["parts"]]
    assert sorted(paths) == sorted(current.rglob("*.parquet")), "every part is in the manifest"
    schema = expected_schema(manifest)
    for path, part in zip(paths, manifest["parts"]):
        check_footer(path, part)
        found = pq.read_schema(path)
        assert found.remove_metadata().equals(schema, check_metadata=True), f"{path}: schema\n{found}\n{schema}"
    table = pa.concat_tables([pq.ParquetFile(path).read() for path in paths])
    assert table.num_rows == manifest["n_rows"], "rows of all parts"
    if "row_id" in table.column_names:
        check_lookup(paths, table)
    check_readers(paths, table)
    check_globs(folder, manifest["n_rows"])
    return table.num_rows


def check_lookup(paths, table):
    """A row is found by its id, and an id that is not there is not."""
    names = [str(path) for path in paths]
    query = "select count(*) from read_parquet(?) where row_id = ?"
    count = lambda row_id: duckdb.execute(query, [names, row_id]).fetchall()[0][0]
    assert count(table["row_id"][0].as_py()) >= 1 and count("absent") == 0, "lookup by row_id"


def check_table(path):
    """One Parquet file."""
    table = pq.ParquetFile(path).read()
    assert all(field.metadata and field.metadata[b"doc"] for field in table.schema), f"{path}: every column has a doc"
    check_readers([path], table)
    return table.num_rows


def main(paths):
    if not paths:
        sys.exit(__doc__)
    for path in map(Path, paths):
        n_rows = check_snapshot(path) if path.is_dir() else check_table(path)
        print(f"ok {path}: {n_rows} rows")


if __name__ == "__main__":
    main(sys.argv[1:])
