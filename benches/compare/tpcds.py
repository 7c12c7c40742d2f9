"""`tpcds FOLDER`: the 99 queries of TPC-DS. Makes `FOLDER/lake` and `FOLDER/sql` when they are missing.

Data and queries come out of DuckDB's signed `tpcds` extension, in an environment of its own because extension and DuckDB
must fit: nothing of TPC's text lies in this repository.
"""

import pathlib
import subprocess
import sys

PACKAGES = ["duckdb==1.5.5", "duckdb-extension-tpcds==1.5.5", "deltalake==1.6.6", "pyarrow==26.0.1"]


def make(folder, scale, environments):
    """Lake and queries; the Python for it lies beside the others, under `environments`."""
    import data

    folder.mkdir(parents=True, exist_ok=True)
    python = environments / "tpcds" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environments / "tpcds")], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True)
    data.once(folder / "lake", lambda lake: subprocess.run([str(python), __file__, str(folder), str(scale)], check=True))


def generate(folder, scale):
    """Runs in the environment with the extension."""
    import duckdb
    import duckdb_extension_tpcds
    from deltalake import write_deltalake

    database = duckdb.connect()
    extension = next(pathlib.Path(duckdb_extension_tpcds.__file__).parent.glob("extensions/*/tpcds.duckdb_extension"))
    # DuckDB checks the signature of what it loads.
    database.execute(f"LOAD '{extension}'")
    database.execute(f"CALL dsdgen(sf = {float(scale)})")
    for (table,) in database.sql("SELECT table_name FROM duckdb_tables()").fetchall():
        write_deltalake(folder / "lake" / "main" / table, database.sql(f"FROM {table}").to_arrow_table())
    (folder / "sql").mkdir(exist_ok=True)
    for number, text in database.sql("SELECT query_nr, query FROM tpcds_queries()").fetchall():
        (folder / "sql" / f"q{number:02}.sql").write_text(text)


if __name__ == "__main__":
    generate(pathlib.Path(sys.argv[1]), sys.argv[2])
