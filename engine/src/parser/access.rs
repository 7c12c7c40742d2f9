//! ```text
//! CREATE USER [IF NOT EXISTS] name [WITH] PASSWORD 'text' [ROLE {admin | reader}]
//! ALTER USER name [WITH] {PASSWORD 'text' | ROLE {admin | reader} | ENABLE | DISABLE} ...
//! DROP USER [IF EXISTS] name
//! CREATE TOKEN name [FOR user] VALID FOR 'number unit'
//! DROP TOKEN [IF EXISTS] name [FOR user]
//! ```
//! The password itself is not in the text any more: [`super::secret`] has taken it out.

use std::time::Duration;

use datafusion::sql::sqlparser::{
    ast::Ident,
    parser::{Parser, ParserError},
};

use super::clause::{finish, is_nth_word, string, take_word, take_words};
use crate::identity::Role;

/// A statement about a user.
#[derive(Debug, Clone)]
pub(crate) enum UserChange {
    Create { name: Ident, if_not_exists: bool, options: UserOptions },
    Alter { name: Ident, options: UserOptions },
    Drop { name: Ident, if_exists: bool },
}

/// What is said of a user.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct UserOptions {
    /// Whether a password was given.
    pub(crate) password: bool,
    pub(crate) role: Option<Role>,
    pub(crate) disabled: Option<bool>,
}

/// A statement about an access token.
#[derive(Debug, Clone)]
pub(crate) enum TokenChange {
    Create { name: Ident, user: Option<Ident>, valid_for: Duration },
    Drop { name: Ident, user: Option<Ident>, if_exists: bool },
}

/// Whether CREATE, ALTER or DROP, which comes next, is about one of these.
pub(super) fn is_next(parser: &Parser<'_>, what: &str) -> bool {
    is_nth_word(parser, 1, what)
}

/// Parses from CREATE, ALTER or DROP, before USER, to the end of the statement.
pub(super) fn user(parser: &mut Parser<'_>) -> Result<UserChange, ParserError> {
    if take_words(parser, &["CREATE", "USER"]) {
        let if_not_exists = take_words(parser, &["IF", "NOT", "EXISTS"]);
        let name = parser.parse_identifier()?;
        let options = options(parser)?;
        if !options.password {
            return parser.expected("PASSWORD 'text'", parser.peek_token());
        }
        return Ok(UserChange::Create { name, if_not_exists, options });
    }
    if take_words(parser, &["ALTER", "USER"]) {
        let name = parser.parse_identifier()?;
        let options = options(parser)?;
        if options == UserOptions::default() {
            return parser.expected("PASSWORD, ROLE, ENABLE or DISABLE", parser.peek_token());
        }
        return Ok(UserChange::Alter { name, options });
    }
    take_words(parser, &["DROP", "USER"]);
    let if_exists = take_words(parser, &["IF", "EXISTS"]);
    let name = parser.parse_identifier()?;
    finish(parser, "the end of the statement")?;
    Ok(UserChange::Drop { name, if_exists })
}

fn options(parser: &mut Parser<'_>) -> Result<UserOptions, ParserError> {
    let _ = take_word(parser, "WITH");
    let mut options = UserOptions::default();
    loop {
        if !options.password && take_word(parser, "PASSWORD") {
            let _ = string(parser)?;
            options.password = true;
        } else if options.role.is_none() && take_word(parser, "ROLE") {
            let Some(role) = [Role::Admin, Role::Reader].into_iter().find(|role| take_word(parser, role.name())) else {
                return parser.expected("admin or reader", parser.peek_token());
            };
            options.role = Some(role);
        } else if options.disabled.is_none() && take_word(parser, "DISABLE") {
            options.disabled = Some(true);
        } else if options.disabled.is_none() && take_word(parser, "ENABLE") {
            options.disabled = Some(false);
        } else {
            finish(parser, "PASSWORD 'text', ROLE, ENABLE, DISABLE or the end of the statement")?;
            return Ok(options);
        }
    }
}

/// Parses from CREATE or DROP, before TOKEN, to the end of the statement.
pub(super) fn token(parser: &mut Parser<'_>) -> Result<TokenChange, ParserError> {
    if take_words(parser, &["CREATE", "TOKEN"]) {
        let name = parser.parse_identifier()?;
        let user = of_user(parser)?;
        if !take_words(parser, &["VALID", "FOR"]) {
            return parser.expected("VALID FOR and a time such as '30 days'", parser.peek_token());
        }
        let token = parser.peek_token();
        let text = string(parser)?;
        let Some(valid_for) = span(&text) else {
            return parser.expected("a time such as '30 days' or '12 hours'", token);
        };
        finish(parser, "the end of the statement")?;
        return Ok(TokenChange::Create { name, user, valid_for });
    }
    take_words(parser, &["DROP", "TOKEN"]);
    let if_exists = take_words(parser, &["IF", "EXISTS"]);
    let name = parser.parse_identifier()?;
    let user = of_user(parser)?;
    finish(parser, "FOR user or the end of the statement")?;
    Ok(TokenChange::Drop { name, user, if_exists })
}

/// `[FOR user]`
fn of_user(parser: &mut Parser<'_>) -> Result<Option<Ident>, ParserError> {
    if take_word(parser, "FOR") { parser.parse_identifier().map(Some) } else { Ok(None) }
}

/// `30 days`; `None` when it is no time, or none at all.
fn span(text: &str) -> Option<Duration> {
    let (number, unit) = text.trim().split_once(char::is_whitespace)?;
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    let unit = unit.trim().to_ascii_lowercase();
    let seconds = match unit.strip_suffix('s').unwrap_or(&unit) {
        "minute" => 60,
        "hour" => 3600,
        "day" => 86_400,
        "week" => 7 * 86_400,
        "year" => 365 * 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        assert_eq!(span("30 days"), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(span(" 1  Hour "), Some(Duration::from_secs(3600)));
        for text in ["", "30", "0 days", "-1 days", "1.5 days", "3 fortnights", "99999999999999999999 days"] {
            assert_eq!(span(text), None, "{text}");
        }
    }
}
