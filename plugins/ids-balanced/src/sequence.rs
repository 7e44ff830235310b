//! Where the heads of derivation 2 are to lie. Integers alone: the same on every machine, for ever.
//!
//! Positions are the first 64 bits of Kademlia ids. The first 32 heads begin 32 arcs, in the order of van der Corput. From
//! then on head `n` divides gap `n / 32` of arc `n % 32`: the arcs take turns. In an arc, gap `k` is between points `k` and
//! `k + 1`, where point `2k` is point `k` and point `2k + 1` is the one that divides gap `k`. These points are
//! near `log2(k)` on the arc, the sequence of de Bruijn and Erdős, which keeps the largest gap smallest at every size.
//!
//! Gap `k` is divided when there are fewer than `32 (k + 1)` heads, so that it may be as long as [`GAPS`] ` / (k + 1)`.

/// Heads of which the first bits alone are wanted, and arcs.
const ARCS: u16 = 32;
const ARC_BITS: u32 = ARCS.trailing_zeros();
/// The width of the window of these: eleven bits are given, so that they are near enough to where they should be for all
/// sizes below 64. No window is wider, which costs little and leaves the narrow ones more room.
const WINDOW_MAX: u64 = 1 << 53;
/// Twice an arc: the length of gap `k` times `k + 1`, at most.
const GAPS: u64 = 1 << 60;

/// The positions that a head may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: u64,
    pub(crate) width: u64,
}

impl Window {
    pub(crate) fn contains(self, position: u64) -> bool {
        position.wrapping_sub(self.start) < self.width
    }
}

/// The heads on both sides of the gap that a head divides; none for the first 32. Both come before it.
pub(crate) fn neighbours(head: u16) -> Option<[u16; 2]> {
    let (arc, gap) = (head % ARCS, head / ARCS);
    if gap == 0 {
        return None;
    }
    // The last point of an arc is the first of the next one.
    let right = if (gap + 1).is_power_of_two() { next(arc) } else { point(arc, gap + 1) };
    Some([point(arc, gap), right])
}

/// The window of a head, from the positions of its neighbours.
pub(crate) fn window(head: u16, neighbours: Option<[u64; 2]>) -> Window {
    let Some([left, right]) = neighbours else {
        return Window { start: u64::from(head).reverse_bits(), width: WINDOW_MAX };
    };
    let (length, gap) = (right.wrapping_sub(left), u64::from(head / ARCS));
    // Both parts must be short enough.
    let least = length.saturating_sub(GAPS / (2 * gap + 2));
    let most = length.min(GAPS / (2 * gap + 1));
    let room = most.saturating_sub(least);
    // The middle half, so that both have room left when they are divided.
    let width = (room / 2).min(WINDOW_MAX);
    Window { start: left.wrapping_add(least + (room - width) / 2), width }
}

/// The head at a point of an arc.
fn point(arc: u16, point: u16) -> u16 {
    let odd = point >> point.trailing_zeros();
    odd / 2 * ARCS + arc
}

/// The arc after this one on the ring.
fn next(arc: u16) -> u16 {
    let reversed = |arc: u16| arc.reverse_bits() >> (u16::BITS - ARC_BITS);
    reversed((reversed(arc) + 1) % ARCS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_heads_come_in_the_order_of_van_der_corput() {
        let eighths: Vec<u64> = (0..8).map(|head| window(head, None).start >> 61).collect();
        assert_eq!(eighths, [0b000, 0b100, 0b010, 0b110, 0b001, 0b101, 0b011, 0b111]);
        let nexts: Vec<u16> = (0..8).map(next).collect();
        assert_eq!(nexts, [16, 17, 18, 19, 20, 21, 22, 23]);
        assert_eq!((next(16), next(31)), (8, 0));
    }

    #[test]
    fn a_head_divides_a_gap_between_heads_before_it() {
        assert_eq!(neighbours(31), None);
        assert_eq!(
            [32, 33, 64, 96, 128].map(neighbours),
            [Some([0, 16]), Some([1, 17]), Some([0, 32]), Some([32, 16]), Some([0, 64])]
        );
        for head in 32..=u16::MAX {
            assert!(neighbours(head).unwrap().iter().all(|it| *it < head), "{head}");
        }
    }

    /// However unlucky the positions are: always the end of the window that leaves the least room.
    #[test]
    fn both_parts_of_a_gap_are_short_enough_and_can_be_divided() {
        for last in [false, true] {
            let mut positions = Vec::new();
            for head in 0..=u16::MAX {
                let sides = neighbours(head).map(|sides| sides.map(|it| positions[usize::from(it)]));
                let Window { start, width } = window(head, sides);
                assert!(width > 0, "{head}");
                let position = if last { start.wrapping_add(width - 1) } else { start };
                positions.push(position);
                let Some([left, right]) = sides else { continue };
                let gap = u64::from(head / ARCS);
                let parts = [position.wrapping_sub(left), right.wrapping_sub(position)];
                assert!(parts.iter().all(|part| *part > 0), "{head}");
                assert!(parts[0] <= GAPS / (2 * gap + 1) && parts[1] <= GAPS / (2 * gap + 2), "{head}");
            }
        }
    }
}
