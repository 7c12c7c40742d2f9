"""The Python that the comparison runs in: a virtual environment under the target folder, every version pinned."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What everything needs, then one line an engine. An engine that cannot be installed is left out of the comparison.
BASE = ["pyarrow==26.0.1", "deltalake==1.6.6"]
ENGINES = {
    "boathouse": ["adbc-driver-flightsql==1.13.0", "adbc-driver-manager==1.13.0"],
    "duckdb": ["duckdb==2.0.0"],
    "polars": ["polars==2.1.0"],
    "datafusion": ["datafusion==55.0.0"],
    "chdb": ["chdb==4.4.0"],
}


def target_folder():
    """Cargo's target folder, where what is made may be thrown away."""
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--offline"]
    try:
        told = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        return pathlib.Path(json.loads(told.stdout)["target_directory"])
    except (OSError, subprocess.CalledProcessError):
        return ROOT / "target"


def enter():
    """Goes on in the environment: makes it when it is missing, and starts this program again inside."""
    folder = target_folder() / "compare"
    python = folder / "bin" / "python"
    if pathlib.Path(sys.prefix) == folder:
        return
    wanted = json.dumps([BASE, ENGINES])
    mark = folder / "installed.json"
    if not mark.exists() or mark.read_text() != wanted:
        make(folder, python)
        mark.write_text(wanted)
    os.execv(python, [str(python), *sys.argv])


def make(folder, python):
    print(f"making {folder}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *BASE], check=True)
    for engine, packages in ENGINES.items():
        if subprocess.run([*install, *packages], check=False).returncode != 0:
            print(f"{engine} could not be installed and is left out", file=sys.stderr)
