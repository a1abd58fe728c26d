"""Writes the files beside it, one table in every format, and in `tasks` its rows by site, as users' tools write them:

    pip install pyarrow==26.0.1 pandas==3.1.1 polars==2.1.0
    python write.py
"""

import math
import pathlib
import random

import pandas
import polars
import pyarrow
from pyarrow import compute, csv, feather, ipc, parquet

random.seed(7)
SITES = ["north", "south", "east", "west", "mid", "far"]
ROWS = 96


def some(value, index, every):
    """None in place of some values."""
    return None if index % every == every - 1 else value


columns = {
    "site": [SITES[row % len(SITES)] for row in range(ROWS)],
    "x": [some(math.sin(1.9 * row), row, 17) for row in range(ROWS)],
    "count": [some(row * row - 100, row, 23) for row in range(ROWS)],
    "open": [some(row % 3 == 0, row, 19) for row in range(ROWS)],
    "note": [some("Größe, 1" if row % 2 else "plain", row, 5) for row in range(ROWS)],
    "y": [some((2.0 + row % len(SITES)) * math.sin(1.9 * row) + random.gauss(0.0, 0.01), row, 29) for row in range(ROWS)],
}
table = pyarrow.table(columns)
# As categories, with narrow and unsigned integers.
narrow = table
for name, kind in [("site", pyarrow.dictionary(pyarrow.int8(), pyarrow.string())), ("count", pyarrow.int32())]:
    narrow = narrow.set_column(narrow.schema.get_field_index(name), name, table[name].cast(kind))
timed = table.append_column("when", pyarrow.array([1_700_000_000_000 + row for row in range(ROWS)], pyarrow.timestamp("ms")))
timed = timed.append_column("parts", pyarrow.array([[row, row + 1] for row in range(ROWS)]))

csv.write_csv(table, "table.csv")
parquet.write_table(table, "pyarrow.parquet")
parquet.write_table(narrow, "groups.parquet", compression="zstd", row_group_size=40)
parquet.write_table(
    narrow,
    "delta.parquet",
    compression="gzip",
    use_dictionary=False,
    data_page_version="2.0",
    column_encoding={
        "site": "DELTA_BYTE_ARRAY",
        "note": "DELTA_LENGTH_BYTE_ARRAY",
        "count": "DELTA_BINARY_PACKED",
        "x": "BYTE_STREAM_SPLIT",
    },
)
parquet.write_table(timed, "timed.parquet", compression="lz4")
parquet.write_table(table, "brotli.parquet", compression="brotli")
table.to_pandas(types_mapper=pandas.ArrowDtype).to_parquet("pandas.parquet")
polars.from_arrow(table).write_parquet("polars.parquet")
polars.from_arrow(narrow).write_ipc("polars.arrow")
feather.write_feather(narrow, "lz4.feather")
feather.write_feather(timed, "timed.feather", compression="zstd")
with ipc.new_file("file.arrow", table.schema) as writer:
    writer.write_table(table, max_chunksize=40)
with ipc.new_stream("stream.arrows", narrow.schema) as writer:
    writer.write_table(narrow, max_chunksize=40)

pathlib.Path("tasks").mkdir(exist_ok=True)
for site in SITES:
    rows = table.filter(compute.equal(table["site"], site)).select(["x", "y"])
    csv.write_csv(rows, f"tasks/{site}.csv")
    parquet.write_table(rows, f"tasks/{site}.parquet")
