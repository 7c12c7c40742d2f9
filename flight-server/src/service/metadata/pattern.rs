//! The patterns of CommandGetDbSchemas and CommandGetTables: `%`, `_` and `\` as in LIKE.

/// Whether `name` fits the pattern. Any text is a pattern; one that nothing fits gives no rows. Case counts.
pub fn fits(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.chars().collect::<Vec<_>>(), parse(pattern));
    // The usual walk with one step back: the last `%` takes one character more when the rest does not fit.
    let (mut at, mut step) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(step) {
            Some(Piece::Many) => {
                back = Some((at, step));
                step += 1;
            }
            Some(piece) if *piece == Piece::One || *piece == Piece::Char(name[at]) => {
                at += 1;
                step += 1;
            }
            _ => match back {
                Some((from, many)) => {
                    back = Some((from + 1, many));
                    (at, step) = (from + 1, many + 1);
                }
                None => return false,
            },
        }
    }
    pattern[step..].iter().all(|piece| *piece == Piece::Many)
}

#[derive(PartialEq)]
enum Piece {
    Many,
    One,
    Char(char),
}

fn parse(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        pieces.push(match char {
            '%' => Piece::Many,
            '_' => Piece::One,
            // At the end of the pattern it stands for itself.
            '\\' => Piece::Char(chars.next().unwrap_or('\\')),
            other => Piece::Char(other),
        });
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_are_those_of_like() {
        for (name, pattern, expected) in [
            ("orders", "orders", true),
            ("orders", "Orders", false),
            ("orders", "%", true),
            ("", "%", true),
            ("", "", true),
            ("orders", "", false),
            ("orders", "o%s", true),
            ("orders", "%d%r%", true),
            ("orders", "o%x", false),
            ("orders", "_rders", true),
            ("orders", "_orders", false),
            ("order_items", r"order\_items", true),
            ("orderXitems", r"order\_items", false),
            ("a%b", r"a\%b", true),
            ("a\\", r"a\", true),
            ("größe", "gr__e", true),
            ("aab", "%ab", true),
            ("orders", "SELECT * FROM orders WHERE x LIKE 'a%'", false),
        ] {
            assert_eq!(fits(name, pattern), expected, "{name:?} LIKE {pattern:?}");
        }
    }
}
