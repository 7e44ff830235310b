//! The run at a place: arm after arm, its curve first, then its triggers.

use crate::args::Args;
use crate::arm::{Arm, SHIPPED};
use crate::chart;
use crate::curve;
use crate::form::Form;
use crate::ground::{Ground, REST, Site, say};
use crate::judge::{self, Verdict};
use crate::place::{Base, Place};
use crate::results::{Results, Setup};
use crate::soak::soak;
use crate::stairs::climb;
use crate::trigger::{self, Trial, Trigger};
use std::io;
use std::path::Path;
use tokio::time::sleep;

/// Measures the arms at a place, and keeps what they show as it comes; what is wrong with a soak.
///
/// # Errors
/// If a server, a node or a load does not start.
pub(crate) async fn measure(
    args: &Args,
    place: &Place,
    all: &[Arm],
    program: &Path,
    results: &Results,
) -> io::Result<Vec<String>> {
    let form = args.form();
    let mut site = Site::prepare(place, form, program).await?;
    let mut base = known_base(args, place, results)?;
    if let (Some(lasts), Some(arm)) = (args.soak(), args.arms(all)?.first()) {
        let base = base.ok_or_else(|| {
            io::Error::other("measure the curve of the shipped default first, or give --base")
        })?;
        return soak(&mut site, arm, base, lasts, results).await;
    }
    for arm in args.arms(all)? {
        let name = place.file_of(&arm.name);
        if !args.no_curve || base.is_none() {
            let ground = site.ground(arm, 1, base.unwrap_or(1.0)).await?;
            say(&name, &format!("the server has {}, by {}", place.share, ground.quota.means()));
            let base = match base {
                Some(base) => base,
                None => *base.insert(find_base(&site, &ground, results, arm).await?),
            };
            if args.base.is_some() || matches!(place.base, Base::Fixed(_)) {
                results.keep_setup(setup(place, &ground, form, base, 0))?;
            }
            if !args.no_curve {
                sleep(REST).await;
                let curve = curve::measure(&name, &ground, form, base).await?;
                results.keep_curve(place, &arm.name, &curve)?;
            }
            ground.stop().await?;
        }
        let triggers = args.triggers(arm, place.backend)?;
        happen_all(&mut site, arm, &triggers, base.unwrap_or(1.0), results).await?;
    }
    Ok(Vec::new())
}

/// Lets triggers happen, one after the other. Nodes that did not recover from one are replaced before the next, as are those of the curve
/// before the first: what is before a trigger is a node that is well.
async fn happen_all(
    site: &mut Site<'_>,
    arm: &Arm,
    triggers: &[Trigger],
    base: f64,
    results: &Results,
) -> io::Result<()> {
    let mut ground: Option<Ground> = None;
    for trigger in triggers {
        if ground.as_ref().is_some_and(|ground| ground.nodes.len() != trigger.nodes())
            && let Some(ground) = ground.take()
        {
            ground.stop().await?;
        }
        let mut on = match ground.take() {
            Some(ground) => ground,
            None => site.ground(arm, trigger.nodes(), base).await?,
        };
        let has_recovered = happen(*trigger, site, &mut on, arm, base, results).await?;
        if has_recovered && !trigger.is_last() {
            ground = Some(on);
        } else {
            on.stop().await?;
        }
    }
    match ground {
        Some(ground) => ground.stop().await,
        None => Ok(()),
    }
}

/// The rate of 1x if it need not be measured.
fn known_base(args: &Args, place: &Place, results: &Results) -> io::Result<Option<f64>> {
    if let (Some(base), _) | (None, Base::Fixed(base)) = (args.base, place.base) {
        return Ok(Some(base));
    }
    // With the shipped default it is measured anew.
    let is_measured = args.arms(&Arm::all()?)?.iter().any(|arm| arm.name == SHIPPED);
    let is_measured = is_measured && !args.no_curve && args.soak().is_none();
    let known = results.setups()?.into_iter().find(|setup| setup.place == place.name);
    Ok(known.filter(|_| !is_measured).map(|setup| setup.base))
}

/// Finds the rate of 1x.
async fn find_base(site: &Site<'_>, ground: &Ground, results: &Results, arm: &Arm) -> io::Result<f64> {
    let Site { place, form, .. } = site;
    if arm.name != SHIPPED {
        return Err(io::Error::other("run the shipped default first, or give --base"));
    }
    let Base::Measured { from } = place.base else { return Err(io::ErrorKind::InvalidInput.into()) };
    let found = climb(ground, form, from).await?;
    say(&place.name, &format!("saturated at {} requests/s: {:?}", found.rate, found.stairs));
    results.keep_setup(setup(place, ground, form, found.rate, u64::from(found.is_reached)))?;
    Ok(found.rate)
}

fn setup(place: &Place, ground: &Ground, form: &Form, base: f64, is_saturated: u64) -> Setup {
    Setup {
        place: place.name.clone(),
        means: ground.quota.means().to_owned(),
        base,
        is_saturated,
        keys: form.keys,
        step_s: form.step[1].as_secs_f64(),
    }
}

/// Lets a trigger happen; whether the nodes have recovered from it.
async fn happen(
    trigger: Trigger,
    site: &mut Site<'_>,
    ground: &mut Ground,
    arm: &Arm,
    base: f64,
    results: &Results,
) -> io::Result<bool> {
    let name = site.place.file_of(&arm.name);
    say(&name, &trigger.to_string());
    let (trial, rows) = trigger::measure(trigger, ground, &mut site.server, site.form, base).await?;
    let trial = Trial { place: site.place.name.clone(), arm: arm.name.clone(), ..trial };
    let has_missed = |verdict: &Verdict| verdict.id == "recovered" && !verdict.passed;
    let has_recovered = !judge::trial(&trial).iter().any(has_missed);
    let svg = chart::timeline(site.place, arm, trigger, &rows);
    results.write(&format!("{name}-{trigger}.svg"), &svg)?;
    results.keep_trial(site.place, trial, &rows)?;
    Ok(has_recovered)
}
