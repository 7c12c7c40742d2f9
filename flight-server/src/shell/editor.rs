//! The line editor: prompt, keys, history, completion menu.

use std::{borrow::Cow, env, path::PathBuf};

use nu_ansi_term::{Color, Style};
use reedline::{
    ColumnarMenu, DefaultHinter, EditCommand, Emacs, InputMode, KeyCode, KeyModifiers, MenuBuilder, Prompt,
    PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus, Reedline, ReedlineEvent, ReedlineMenu,
    ValidationResult, Validator, default_emacs_keybindings,
};

use super::{
    command,
    complete::{SharedNames, SqlCompleter},
    highlight::SqlHighlighter,
    history::DiscreetHistory,
    script,
};

/// Statements kept in the history file.
const HISTORY_STATEMENTS_MAX: usize = 10_000;

const MENU: &str = "completion";

/// Ends the prompt, also while the menu is open.
const INDICATOR: &str = "> ";

/// An editor whose completion reads `names`.
pub fn editor(names: SharedNames, colors: bool) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let complete = vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext];
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, ReedlineEvent::UntilFound(complete));
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    let newline = ReedlineEvent::Edit(vec![EditCommand::InsertNewline]);
    keys.add_binding(KeyModifiers::ALT, KeyCode::Enter, newline);

    let menu = ColumnarMenu::default().with_name(MENU).with_input_mode(InputMode::FullBuffer).with_marker(INDICATOR);
    let mut editor = Reedline::create()
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_completer(Box::new(SqlCompleter::new(names)))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_validator(Box::new(StatementValidator))
        .with_ansi_colors(colors)
        .use_bracketed_paste(true);
    if colors {
        let hinter = DefaultHinter::default().with_style(Style::new().fg(Color::DarkGray)).with_min_chars(2);
        editor = editor.with_highlighter(Box::new(SqlHighlighter)).with_hinter(Box::new(hinter));
    }
    match history_file().map(|file| DiscreetHistory::with_file(HISTORY_STATEMENTS_MAX, file)) {
        Some(Ok(history)) => editor = editor.with_history(Box::new(history)),
        Some(Err(error)) => tracing::warn!("the history is not kept: {error}"),
        None => tracing::warn!("the history is not kept: neither XDG_DATA_HOME nor HOME is set"),
    }
    editor
}

/// `history` in the user's data folder.
fn history_file() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = folder("XDG_DATA_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/share")))?;
    Some(data.join("boathouse").join("history"))
}

/// Enter ends a statement that is complete, and starts a new line in one that is not.
struct StatementValidator;

impl Validator for StatementValidator {
    fn validate(&self, text: &str) -> ValidationResult {
        if script::is_complete(text) || command::plain_word(text).is_some() {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

/// `lake> `, and `   -> ` on the lines that follow.
pub struct LakePrompt;

impl Prompt for LakePrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "lake".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        INDICATOR.into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "   -> ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let failing = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "nothing for ",
        };
        format!(" (search: {failing}{}) ", search.term).into()
    }

    fn get_prompt_color(&self) -> Color {
        Color::Default
    }

    fn get_indicator_color(&self) -> Color {
        Color::Default
    }

    fn get_prompt_multiline_color(&self) -> nu_ansi_term::Color {
        Color::DarkGray
    }
}
