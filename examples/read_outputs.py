"""Reads what `flow exec examples/02_ground_truth.yaml` published: pyarrow, DuckDB and Polars see the same rows.

Needs: pip install pyarrow duckdb polars
"""

import duckdb
import polars
import pyarrow.dataset

FOLDER = "out/ground-truth/kept/current"

table = pyarrow.dataset.dataset(FOLDER, format="parquet").to_table()
print(table.schema)
print(duckdb.sql(f"SELECT prompt_id, verdict, extracted, messages FROM '{FOLDER}/*.parquet' ORDER BY row_id"))
print(polars.read_parquet(f"{FOLDER}/*.parquet").select("row_id", "prompt", "completion", "step_labels"))
