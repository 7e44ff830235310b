//! Batches that name a key more than once.

use std::collections::HashMap;
use std::hash::Hash;

/// The places of a batch in rounds, one after another: a round names each key once, and what a batch says of one key is in as many
/// rounds, in its order.
pub fn rounds<K: Eq + Hash>(keys: impl IntoIterator<Item = K>) -> Vec<Vec<usize>> {
    let mut times: HashMap<K, usize> = HashMap::new();
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for (at, key) in keys.into_iter().enumerate() {
        let round = times.entry(key).or_default();
        match rounds.get_mut(*round) {
            Some(places) => places.push(at),
            None => rounds.push(vec![at]),
        }
        *round += 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_once_in_a_round_and_its_rounds_are_in_order() {
        assert_eq!(rounds([1, 2, 1, 1, 3, 2]), [vec![0, 1, 4], vec![2, 5], vec![3]]);
        assert_eq!(rounds([0; 0]), Vec::<Vec<usize>>::new());
    }
}
