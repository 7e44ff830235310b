//! An open-loop load generator for Kademlia DHT servers: many client identities over real connections.
//!
//! A [`Plan`] says what is sent: the heads, the clients, the mix of requests, the keys and the rate. [`run`] executes it
//! and returns a [`Report`]. In an open loop a request is due at a time that does not depend on earlier answers, and its
//! latency counts from that time, so that a server that stalls is charged for every request that was due meanwhile
//! (no coordinated omission). Only [`Outcome::Full`] is a success.
//!
//! ```no_run
//! use hydra_load::{Pace, Plan, Step, run};
//! use std::time::Duration;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let head = "/ip4/127.0.0.1/tcp/20000/p2p/12D3KooWAkDQ1fUrsXHKBbQ6gQoCKFLtNkCmmqsHAcFLSRWnkxFv".parse()?;
//! let step = Step { pace: Pace::Open { per_second: 500.0 }, duration: Duration::from_secs(30) };
//! let report = run(Plan::new(vec![head], vec![step]), |_| {}, std::future::pending()).await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```

mod arrivals;
mod client;
mod connect;
mod draw;
mod exchange;
mod figures;
mod identity;
mod keys;
mod measure;
mod outcome;
mod pacer;
mod plan;
mod preload;
mod process;
mod recorder;
mod report;
mod run;
mod second;
mod session;
mod source;
mod stop;
mod tally;

pub use arrivals::Arrivals;
pub use figures::{Counts, Figures, Latency, OperationFigures};
pub use keys::KeySpace;
pub use outcome::{Operation, Outcome};
pub use plan::{Connections, Head, Mix, Pace, Plan, PlanError, Presence, Step, Streams};
pub use preload::Preloaded;
pub use process::{ProcessUse, StepUse};
pub use report::{Ended, Lag, Report, Setup, StepReport};
pub use run::{Progress, RunError, run};
pub use second::Second;
