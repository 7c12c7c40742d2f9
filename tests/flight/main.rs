//! The server, over the wire: a real one on a free port, asked by our client and by arrow-flight's.

mod cancel;
mod error;
mod export;
mod facts;
mod guessing;
mod hostile;
mod http;
mod identity;
mod ingest;
mod lifecycle;
mod listing;
mod lost_answer;
mod metadata;
mod oidc;
mod option;
mod parallel;
mod poll;
mod prepared;
mod queries;
mod session;
mod statement;
mod support;
mod tls;
mod traces;
