//! The completer of the editor.

use std::sync::Arc;

use parking_lot::RwLock;
use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::suggest::{Suggestions, suggest};
use crate::client::Names;

/// Names known now, shared with the task that renews them.
pub type SharedNames = Arc<RwLock<Arc<Names>>>;

/// The completer of the editor.
pub struct SqlCompleter {
    names: SharedNames,
}

impl SqlCompleter {
    pub fn new(names: SharedNames) -> Self {
        Self { names }
    }
}

impl Completer for SqlCompleter {
    fn complete(&mut self, line: &str, at: usize) -> CompletionResult {
        let names = self.names.read().clone();
        let Suggestions { start, values } = suggest(&names, line, at);
        let suggestions: Vec<Suggestion> = values
            .into_iter()
            .map(|value| Suggestion { value, span: Span::new(start, at), ..Suggestion::default() })
            .collect();
        CompletionResult::fresh(suggestions)
    }
}
