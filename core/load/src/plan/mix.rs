//! The shares of the operations.

use crate::outcome::Operation;
use std::fmt;
use std::str::FromStr;

/// The weight of each operation. The default is that of a server of the public DHT: `get=55,add=30,find=10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    weights: [u32; 4],
}

impl Mix {
    /// The maximum of a weight.
    pub const WEIGHT_MAX: u32 = 1_000_000;

    /// The weight of an operation.
    pub fn weight(&self, operation: Operation) -> u32 {
        self.weights.get(operation.index()).copied().unwrap_or_default()
    }

    pub(crate) fn sum(&self) -> u32 {
        self.weights.iter().sum()
    }

    /// The operation at a point below [`Self::sum`].
    pub(crate) fn at(&self, mut point: u32) -> Operation {
        for operation in Operation::ALL {
            match point.checked_sub(self.weight(operation)) {
                Some(rest) => point = rest,
                None => return operation,
            }
        }
        Operation::Find
    }
}

impl Default for Mix {
    fn default() -> Self {
        Self { weights: [55, 30, 10, 0] }
    }
}

impl FromStr for Mix {
    type Err = String;

    /// Parses `get=55,add=30,find=10`; an operation that is not named has weight 0.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut weights = [0; 4];
        for part in text.split(',') {
            let (name, weight) =
                part.split_once('=').ok_or_else(|| format!("`{part}` is not of the form get=55"))?;
            let operation = Operation::ALL.into_iter().find(|operation| operation.name() == name.trim());
            let operation =
                operation.ok_or_else(|| format!("`{name}` is none of get, add, find and ping"))?;
            let weight = weight.trim().parse().ok().filter(|weight| *weight <= Self::WEIGHT_MAX);
            let weight = weight.ok_or_else(|| {
                format!("the weight of {operation} is not a number from 0 to {}", Self::WEIGHT_MAX)
            })?;
            if let Some(slot) = weights.get_mut(operation.index()) {
                *slot = weight;
            }
        }
        let mix = Self { weights };
        if mix.sum() == 0 { Err("all weights are 0".to_owned()) } else { Ok(mix) }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Operation::ALL.into_iter().filter(|operation| self.weight(*operation) > 0);
        let parts: Vec<_> =
            named.map(|operation| format!("{operation}={}", self.weight(operation))).collect();
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_parsed_printed_and_divided() {
        let mix: Mix = "get=2, ping=1".parse().unwrap();
        assert_eq!(mix.to_string(), "get=2,ping=1");
        assert_eq!([0, 1, 2].map(|point| mix.at(point)), [Operation::Get, Operation::Get, Operation::Ping]);
        for wrong in ["", "get", "get=-1", "get=0", "put=1", "get=4000000000"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }
}
