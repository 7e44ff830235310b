//! Where a request was counted, in the 64 bits of a token.

use hydra_api::Token;
use hydra_sketch::SlotId;

/// What a request has left in the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// Nothing.
    None,
    /// A read of this key.
    Read(SlotId),
    /// A read of this hot key that may ask the store.
    Asks(SlotId, SlotId),
    /// A new provider of this key.
    New(SlotId),
    /// The same of a key with so many that they are remembered.
    NewOfMany(SlotId),
}

/// The bits of a counter's number: there are at most 2^20 of each kind.
const SLOT_BITS: u32 = 20;
const KIND: u32 = 2 * SLOT_BITS;

impl Receipt {
    pub(crate) fn token(self) -> Token {
        let token = |kind: u64, one: SlotId, other: SlotId| {
            Token(kind << KIND | u64::from(other.0) << SLOT_BITS | u64::from(one.0))
        };
        let none = SlotId(0);
        match self {
            Self::None => Token(0),
            Self::Read(key) => token(1, key, none),
            Self::Asks(key, asks) => token(2, key, asks),
            Self::New(key) => token(3, key, none),
            Self::NewOfMany(key) => token(4, key, none),
        }
    }

    pub(crate) fn of(Token(token): Token) -> Self {
        let slot = |from: u32| SlotId((token >> from) as u32 & ((1 << SLOT_BITS) - 1));
        match token >> KIND {
            1 => Self::Read(slot(0)),
            2 => Self::Asks(slot(0), slot(SLOT_BITS)),
            3 => Self::New(slot(0)),
            4 => Self::NewOfMany(slot(0)),
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_from_its_token() {
        let max = SlotId((1 << SLOT_BITS) - 1);
        for slot in [SlotId(0), SlotId(5), max] {
            for receipt in [
                Receipt::None,
                Receipt::Read(slot),
                Receipt::Asks(slot, max),
                Receipt::Asks(max, slot),
                Receipt::New(slot),
                Receipt::NewOfMany(slot),
            ] {
                assert_eq!(Receipt::of(receipt.token()), receipt);
            }
        }
    }
}
