//! What asked for memory, in words that people know.

/// The operators by the names under which they ask.
const OPERATORS: &[(&str, &str)] = &[
    ("hash join", "a hash join"),
    ("HashJoinInput", "a hash join of NOT IN, or one whose rows must keep several orders"),
    ("NestedLoopJoin", "a join without an equality"),
    ("CrossJoin", "a cross join"),
    ("SMJStream", "a sort-merge join"),
    ("SymmetricHashJoin", "a hash join"),
    ("PiecewiseMergeJoin", "a join without an equality"),
    ("GroupedHashAggregate", "an aggregation"),
    ("SingleHashAggregate", "an aggregation"),
    ("PartialHashAggregate", "an aggregation"),
    ("PartialReduceHashAggregate", "an aggregation"),
    ("FinalHashAggregate", "an aggregation"),
    ("OrderedPartialAggregate", "an aggregation"),
    ("OrderedFinalAggregate", "an aggregation"),
    ("AggregateStream", "an aggregation"),
    ("ExternalSorter", "a sort"),
    ("SortPreservingMerge", "a sort"),
    ("TopK", "a sort with LIMIT"),
    ("PartitionedTopK", "a window function with LIMIT"),
    ("RepartitionExec", "the exchange of rows between threads"),
    ("RecursiveQuery", "a recursive query"),
];

/// The operator in the pool's text: `Additional allocation failed for NestedLoopJoinLoad[0] with top memory consumers ...`,
/// `Failed to allocate additional 1 MB for ...`, or our own pool's `"..." holds 1 MB and asked for ...`.
pub(super) fn asked(text: &str) -> Option<&'static str> {
    let name = text
        .split_once("llocation failed for ")
        .or_else(|| text.split_once("Failed to allocate additional ").and_then(|(_, rest)| rest.split_once(" for ")));
    let name = name.or_else(|| text.split_once('"')).map(|(_, rest)| rest)?;
    OPERATORS.iter().find(|(start, _)| name.starts_with(start)).map(|(_, words)| *words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_is_found_in_every_form_of_the_text() {
        for text in [
            "Additional allocation failed for NestedLoopJoinLoad[0] with top memory consumers (across reservations) as: x",
            "Failed to allocate additional 1.0 MB for NestedLoopJoinLoad[0] with 0.0 B already allocated",
            "\"NestedLoopJoinLoad[0]\" holds 1.0 MB and asked for 2.0 MB more",
        ] {
            assert_eq!(asked(text), Some("a join without an equality"));
        }
        assert_eq!(asked("Failed to allocate additional 1.0 MB for Something with 0.0 B"), None);
        assert_eq!(asked("other"), None);
    }
}
