//! What a request has paid, in the 64 bits of a token.

use crate::settings::{Mark, Settings};
use crate::table::{BucketId, Table};
use hydra_api::Token;

/// The buckets that a request has paid to, and the settings by which it has. Which of the budgets were kept then, and what
/// the request cost, follows from the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) mark: Mark,
    /// Any number when there was no budget for each peer.
    pub(crate) peer: BucketId,
    /// Any number when there was no budget for each prefix.
    pub(crate) prefix: BucketId,
}

const PEER: u32 = 0;
const PREFIX: u32 = Table::ID_BITS;
const MARK: u32 = 2 * Table::ID_BITS;
/// Tells a receipt from the token of a request that has paid nothing, which is 0.
const PAID: u32 = MARK + Settings::MARK_BITS;

impl Receipt {
    pub(crate) fn token(self) -> Token {
        let Self { mark, peer, prefix } = self;
        Token(1 << PAID | u64::from(mark) << MARK | u64::from(prefix) << PREFIX | u64::from(peer) << PEER)
    }

    /// `None` when nothing was paid.
    pub(crate) fn of(Token(token): Token) -> Option<Self> {
        if token >> PAID & 1 == 0 {
            return None;
        }
        let bucket = |from: u32| (token >> from) as BucketId & ((1 << Table::ID_BITS) - 1);
        let mark = (token >> MARK) as Mark & ((1 << Settings::MARK_BITS) - 1);
        Some(Self { mark, peer: bucket(PEER), prefix: bucket(PREFIX) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_from_its_token() {
        let bucket_max = (1 << Table::ID_BITS) - 1;
        let mark_max = (1 << Settings::MARK_BITS) - 1;
        for (mark, peer, prefix) in [(0, 0, 0), (mark_max, 0, bucket_max), (0, bucket_max, 0), (5, 6, 7)] {
            let receipt = Receipt { mark, peer, prefix };
            assert_ne!(receipt.token(), Token::default());
            assert_eq!(Receipt::of(receipt.token()), Some(receipt));
        }
        assert_eq!(Receipt::of(Token::default()), None);
    }
}
