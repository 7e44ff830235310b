//! Where values are on an axis, and where its ticks are.

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From 0 on.
    Linear,
    /// By the logarithm. What is not above 0 has no place.
    Log,
}

/// An axis from its least to its greatest tick.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
    pub(crate) ticks: Vec<f64>,
}

impl Axis {
    /// An axis on which all of these values have a place.
    pub(crate) fn over(scale: Scale, values: impl IntoIterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.into_iter().filter(|value| value.is_finite() && *value > 0.0) {
            (least, most) = (least.min(value), most.max(value));
        }
        let (least, most) = if most > 0.0 { (least, most) } else { (1.0, 1.0) };
        let ticks = match scale {
            Scale::Linear => linear_ticks(most),
            Scale::Log => log_ticks(least, most),
        };
        Self::of(scale, ticks)
    }

    /// An axis with these ticks, in rising order.
    pub(crate) fn of(scale: Scale, ticks: Vec<f64>) -> Self {
        let from = ticks.first().copied().unwrap_or_default();
        Self { scale, from, to: ticks.last().copied().unwrap_or(1.0), ticks }
    }

    /// Where a value is, from 0 to 1; none if it has no place.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let along = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log if value <= 0.0 => return None,
            Scale::Log => (value / self.from).ln() / (self.to / self.from).ln(),
        };
        (along.is_finite() && (-1e-9..=1.0 + 1e-9).contains(&along)).then_some(along)
    }
}

/// From 0 in about five steps of 1, 2 or 5 of a power of ten.
fn linear_ticks(most: f64) -> Vec<f64> {
    let rough = most / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|part| part * power).into_iter().find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(rough);
    (0..).map(|nth| f64::from(nth) * step).take(1 + (most / step - 1e-9).ceil() as usize).collect()
}

/// The powers of ten around the values.
fn log_ticks(least: f64, most: f64) -> Vec<f64> {
    let first = least.log10().floor() as i32;
    let last = (most.log10().ceil() as i32).max(first + 1);
    (first..=last).map(|power| 10_f64.powi(power)).collect()
}

/// A number as it is written at a tick.
pub(crate) fn label(value: f64) -> String {
    if value >= 1e6 {
        return format!("{} M", trimmed(value / 1e6));
    }
    if value >= 1e4 { format!("{} k", trimmed(value / 1e3)) } else { trimmed(value) }
}

/// Up to three decimals, without zeros at the end.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_begins_at_0_and_has_round_ticks() {
        let axis = Axis::over(Scale::Linear, [130.0, 420.0]);
        assert_eq!(axis.ticks, [0.0, 100.0, 200.0, 300.0, 400.0, 500.0]);
        assert_eq!((axis.place(0.0), axis.place(250.0), axis.place(501.0)), (Some(0.0), Some(0.5), None));
    }

    #[test]
    fn a_logarithmic_axis_has_powers_of_ten_and_no_place_for_0() {
        let axis = Axis::over(Scale::Log, [0.0, 0.5, 90.0]);
        assert_eq!(axis.ticks, [0.1, 1.0, 10.0, 100.0]);
        assert_eq!(axis.place(0.0), None);
        assert!((axis.place(1.0).unwrap() - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn an_axis_without_values_is_an_axis() {
        for scale in [Scale::Linear, Scale::Log] {
            assert!(Axis::over(scale, []).ticks.len() >= 2);
        }
    }

    #[test]
    fn ticks_are_short() {
        let labels = [0.05, 1_000.0, 20_000.0, 1_500_000.0].map(label);
        assert_eq!(labels, ["0.05", "1000", "20 k", "1.5 M"]);
    }
}
