//! Where a request was counted, in the 64 bits of a token.

use hydra_api::Token;
use hydra_sketch::SlotId;

/// The counters of its peer, its host and its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt(pub(crate) [SlotId; 3]);

/// The bits of a counter's number: there are at most 2^20 of each kind.
const SLOT_BITS: u32 = 20;

/// Tells a receipt from the token of a request that was not counted, which is 0.
const COUNTED: u64 = 1 << 63;

impl Receipt {
    pub(crate) fn token(self) -> Token {
        Token(
            self.0
                .iter()
                .fold(COUNTED >> (3 * SLOT_BITS), |token, slot| token << SLOT_BITS | u64::from(slot.0)),
        )
    }

    /// `None` when nothing was counted.
    pub(crate) fn of(Token(token): Token) -> Option<Self> {
        let slot = |place: u32| SlotId((token >> (place * SLOT_BITS)) as u32 & ((1 << SLOT_BITS) - 1));
        (token & COUNTED != 0).then(|| Self([slot(2), slot(1), slot(0)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_from_its_token() {
        let max = (1 << SLOT_BITS) - 1;
        for slots in [[0, 0, 0], [max, 0, max], [0, max, 0], [1, 2, 3]] {
            let receipt = Receipt(slots.map(SlotId));
            assert_eq!(Receipt::of(receipt.token()), Some(receipt));
        }
        assert_eq!(Receipt::of(Token::default()), None);
    }
}
