//! The command line: one file per subcommand.
//!
//! Each has its `Args` and a `run`; [`run`] calls the one that was asked for. The process's exit code is 0 when all went
//! well and 1 after an error, which is on standard error by then. Wrong usage ends with 2 before any subcommand runs.

pub mod connect;
pub mod demo;
mod dispatch;
pub mod login;
pub mod mart;
pub mod serve;
mod show;
pub mod sql;
pub mod tier;
pub mod user;

use clap::{Parser, Subcommand};

pub use dispatch::run;

/// The lakehouse in one binary: Delta tables in a folder or a bucket, fast SQL over them, Arrow Flight SQL to serve them
#[derive(Debug, Parser)]
#[command(name = "boathouse", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a lake with TPC-H data and look around in it
    Demo(demo::Args),
    /// Serve a lake over Arrow Flight SQL
    Serve(serve::Args),
    /// Open a SQL shell on a lake, or on a server
    Sql(sql::Args),
    /// Make the first user of a lake
    User(user::Args),
    /// Plan, run and test marts: SQL that keeps tables up to date
    Mart(mart::Args),
    /// Move what is old to where it is cheap, and see what lies where
    Tier(tier::Args),
    /// Print what to paste into a client for it to reach a server
    Connect(connect::Args),
}

const EXAMPLES: &str = "\
Examples:
  boathouse demo                                   make a lake with TPC-H data and look around
  boathouse sql ./lake                             a SQL shell on a folder
  boathouse sql s3://bucket/lake -c 'SHOW TABLES'  one statement on a bucket (settings: AWS_* variables)
  boathouse serve ./lake                           serve Arrow Flight SQL on 127.0.0.1:32010
  boathouse sql grpc://127.0.0.1:32010             the same shell on that server
  boathouse connect python                         a program in Python that queries it
  boathouse user create ann --lake ./lake          from now on, the server asks for user and password

BOATHOUSE_LOG sets what is logged to standard error: error, warn (the default), info, debug, trace.";
