//! Colours for SQL while it is typed.

use boathouse_engine::parser;
use nu_ansi_term::{Color, Style};
use reedline::{Highlighter, StyledText};

use super::lex::{Kind, pieces};

/// The highlighter of the editor.
pub struct SqlHighlighter;

impl Highlighter for SqlHighlighter {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut styled = StyledText::new();
        if line.trim_start().starts_with('\\') {
            styled.push((Color::Yellow.normal(), line.to_owned()));
            return styled;
        }
        let mut rest = pieces(line).peekable();
        while let Some((kind, range)) = rest.next() {
            let piece = &line[range];
            let is_called = rest.peek().is_some_and(|(_, next)| line[next.clone()].starts_with('('));
            styled.push((style(kind, piece, is_called), piece.to_owned()));
        }
        styled
    }
}

fn style(kind: Kind, piece: &str, is_called: bool) -> Style {
    match kind {
        Kind::Word if is_keyword(piece) => Color::Blue.bold(),
        Kind::Word if is_called => Color::Cyan.normal(),
        Kind::Text => Color::Green.normal(),
        Kind::Number => Color::Magenta.normal(),
        Kind::Comment => Color::DarkGray.normal(),
        Kind::Word | Kind::QuotedName | Kind::Semicolon | Kind::Blank | Kind::Symbol => Style::new(),
    }
}

fn is_keyword(word: &str) -> bool {
    parser::keywords().binary_search(&word.to_uppercase().as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_piece_has_its_colour_and_no_text_is_lost() {
        let line = "SELECT upper(name_x), 'a' || 1 -- note";
        let styled = SqlHighlighter.highlight(line, 0);
        assert_eq!(styled.raw_string(), line);
        let style_of = |text: &str| styled.buffer.iter().find(|(_, piece)| piece == text).map(|(style, _)| *style);
        assert_eq!(style_of("SELECT"), Some(Color::Blue.bold()));
        assert_eq!(style_of("upper"), Some(Color::Cyan.normal()));
        assert_eq!(style_of("name_x"), Some(Style::new()));
        assert_eq!(style_of("'a'"), Some(Color::Green.normal()));
        assert_eq!(style_of("1"), Some(Color::Magenta.normal()));
        assert_eq!(style_of("-- note"), Some(Color::DarkGray.normal()));
    }

    #[test]
    fn a_command_has_one_colour() {
        assert_eq!(SqlHighlighter.highlight("\\dt or*", 0).buffer, [(Color::Yellow.normal(), "\\dt or*".to_owned())]);
    }
}
