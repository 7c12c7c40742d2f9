//! The name that a person probably meant: least edits, few enough to be a slip.

/// The candidate nearest to `name`, case aside, when it is near enough: a third of the letters, at least one.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let bound = (name.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&name, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        // One letter for another is no slip of the hand: some letter must be the same.
        .filter(|(edits, candidate)| *edits <= bound && name.len().max(candidate.chars().count()) > *edits)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `Did you mean "x"?`, when something is near enough.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|candidate| format!("Did you mean \"{candidate}\"?"))
}

/// The same, when somebody else has found the candidate.
pub(crate) fn did_you_mean_quoted(name: &str, candidate: &str) -> Option<String> {
    did_you_mean(name, [candidate])
}

/// Insertions, deletions, replacements and swaps of neighbours between two words.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let names = ["customer_id", "order_id", "price"];
        assert_eq!(nearest("custmer_id", names), Some("customer_id"));
        assert_eq!(nearest("pirce", names), Some("price"));
        assert_eq!(nearest("ORDER_ID", names), Some("order_id"));
        assert_eq!(nearest("quantity", names), None);
    }

    #[test]
    fn one_letter_names_do_not_suggest_one_another() {
        assert_eq!(nearest("a", ["b", "c"]), None);
        assert_eq!(nearest("tt", ["s", "t"]), Some("t"));
        assert_eq!(nearest("ab", ["abc"]), Some("abc"));
    }
}
