//! Other Delta libraries read what each statement wrote, and the other way round.
//!
//! ```text
//! sql/*.sql  --each statement--> our lake <--reads, after each-- reader.py (deltalake, Spark)
//! writer.py  --each step-------> a table  <--reads, after each-- our lake
//! ```
//! The libraries live in one Python process (`reader.rs`), of which `BOATHOUSE_TEST_PYTHON` says where it is; without it
//! `python3` is asked whether it has them. Where they are missing, the tests say so and pass.
//!
//! A script's statements stand in paragraphs. `-- ask TABLE: QUERY` over it is a query that both answer after it;
//! `-- NAME cannot read TABLE: TEXT` says what the library NAME answers from then on.

mod look;
mod ours;
mod reader;
mod script;
mod theirs;
