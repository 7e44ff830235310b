//! What each rung drops, in words for operators.

use hydra_api::Rung;

/// What reads do without on this rung; empty on the full one.
pub(crate) const fn of_reads(rung: Rung) -> &'static str {
    match rung {
        Rung::Short => "answers are shorter, and may come sooner without the store",
        Rung::Stale => "answers may be old, and most reads do not wait for the store",
        Rung::NearOnly => "keys to which the head that was asked is not near are not read from the store",
        Rung::CacheOnly => "no key is read from the store",
        Rung::RoutingOnly => "all reads are answered with closer peers alone",
        _ => "",
    }
}

/// What writes do without on this rung; empty on the full one.
pub(crate) const fn of_writes(rung: Rung) -> &'static str {
    match rung {
        Rung::Short => {
            "records that live long enough are not written again, and refreshes are dropped as the write queue fills"
        }
        Rung::Stale => "refreshes are dropped, and new announcements of far keys as the write queue fills",
        Rung::NearOnly => {
            "refreshes, and announcements of keys to which the head that was asked is not near, are dropped"
        }
        Rung::CacheOnly => "all but new announcements of near keys are dropped",
        Rung::RoutingOnly => "all announcements are dropped",
        _ => "",
    }
}
