//! Text to AST.
//!
//! DataFusion's parser does most of the work; what it lacks (CREATE and COPY in full, DESCRIBE DETAIL, MERGE with `*`, a place for every
//! fault) is added here. What parses but is not carried out is refused here too, by name: nothing is parsed and then ignored. Limits on
//! size and depth come first, so that no text can exhaust memory or stack.

pub(crate) mod access;
pub(crate) mod alter;
mod ast;
mod cache;
pub(crate) mod clause;
pub(crate) mod copy;
pub(crate) mod create;
mod create_rule;
mod describe;
mod evolution;
mod explain;
mod fault;
mod field;
mod from_first;
mod history;
mod keyword;
mod kill;
mod like;
mod limit;
mod map_type;
pub(crate) mod mart;
mod merge;
mod number;
mod order_all;
mod parse;
mod placeholder;
mod planned_type;
mod precedence;
mod prepare;
mod redact;
mod refuse;
pub(crate) mod replace;
pub(crate) mod rule;
mod rule_function;
mod secret;
mod show;
mod split;
mod vacuum;
mod version;
mod with;

pub(crate) use self::{
    ast::{Ast, Describe, Explain, ExplainFormat},
    cache::{Cache, CacheTable, Uncache},
    history::{CloneTable, Recover},
    kill::Kill,
    limit::check_size,
    mart::MartChange,
    order_all::EVERY_COLUMN,
    parse::{Parser, object_name, parse, parse_condition, parse_query},
    refuse::older_version,
    secret::{Concealed, conceal},
    show::Show,
    vacuum::Vacuum,
    version::{Versioned, is_versioned},
};
pub use self::{
    keyword::keywords,
    redact::{Redacted, redact},
    split::split,
};
