//! A decimal in the form in which PostgreSQL sends it: groups of four digits from the decimal point on, both ways.

/// The most groups that 38 digits with any scale have, and one more for a scale that is no multiple of four.
const GROUPS_MAX: usize = 12;
const NEGATIVE: i16 = 0x4000;

/// Appends `value / 10^scale`.
pub(super) fn numeric(value: i128, scale: u8, out: &mut Vec<u8>) {
    let (mut groups, mut count) = ([0_i16; GROUPS_MAX], 0);
    let mut rest = value.unsigned_abs();
    let mut push = |group: u128| {
        // Below ten thousand, and no more than there is room for.
        if let Some(place) = groups.get_mut(count) {
            *place = i16::try_from(group).unwrap_or_default();
            count += 1;
        }
    };
    // The lowest group first. It is filled up with zeros to four digits.
    let partial = u32::from(scale % 4);
    if partial > 0 {
        let cut = 10_u128.pow(partial);
        push((rest % cut) * 10_u128.pow(4 - partial));
        rest /= cut;
    }
    while rest > 0 {
        push(rest % 10_000);
        rest /= 10_000;
    }
    let behind = i16::from(scale.div_ceil(4));
    let weight = i16::try_from(count).unwrap_or_default() - behind - 1;
    let groups = &groups[..count];
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    let groups = &groups[zeros..];
    let (weight, sign) = if groups.is_empty() { (0, 0) } else { (weight, if value < 0 { NEGATIVE } else { 0 }) };
    let length = i16::try_from(groups.len()).unwrap_or_default();
    for part in [length, weight, sign, i16::from(scale)] {
        out.extend_from_slice(&part.to_be_bytes());
    }
    groups.iter().rev().for_each(|group| out.extend_from_slice(&group.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Length, weight, sign, scale, then the groups.
    fn parts(value: i128, scale: u8) -> Vec<i16> {
        let mut bytes = Vec::new();
        numeric(value, scale, &mut bytes);
        bytes.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn digits_lie_in_groups_of_four_from_the_point_on() {
        assert_eq!(parts(0, 2), [0, 0, 0, 2]);
        assert_eq!(parts(1234, 2), [2, 0, 0, 2, 12, 3400]);
        assert_eq!(parts(-1234, 2), [2, 0, NEGATIVE, 2, 12, 3400]);
        assert_eq!(parts(1, 4), [1, -1, 0, 4, 1]);
        assert_eq!(parts(1, 8), [1, -2, 0, 8, 1]);
        assert_eq!(parts(1, 1), [1, -1, 0, 1, 1000]);
        assert_eq!(parts(20_000, 0), [1, 1, 0, 0, 2]);
        assert_eq!(parts(100_000_001, 0), [3, 2, 0, 0, 1, 0, 1]);
        assert_eq!(parts(120_000, 4), [1, 0, 0, 4, 12]);
    }

    #[test]
    fn the_longest_decimals_have_room() {
        let most = 10_i128.pow(38) - 1;
        assert_eq!(parts(most, 0), [10, 9, 0, 0, 99, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999]);
        assert_eq!(parts(most, 38), [10, -1, 0, 38, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9900]);
        assert_eq!(parts(-most, 1).len(), 4 + 11);
    }
}
