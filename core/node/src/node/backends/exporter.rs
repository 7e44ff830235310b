//! Starts the export of traces as a config says.

use super::error::{OpenBackendsError, config_error};
use crate::config::{Issue, Loaded, Origin};
use crate::observe::otlp::{Exporter, ExporterError, SettingOrigin, Target};

impl Loaded {
    /// Starts the export of traces if the config or the standard variables name a collector.
    ///
    /// # Errors
    /// [`OpenBackendsError::Config`] names the key or the variable; [`OpenBackendsError::Traces`] is a failure of the system.
    pub fn exporter(&self) -> Result<Exporter, OpenBackendsError> {
        Exporter::start(&self.config.telemetry.otlp).map_err(|error| self.exporter_error(error))
    }

    /// The collector to which [`Self::exporter`] would send traces.
    ///
    /// # Errors
    /// [`OpenBackendsError::Config`]
    pub fn exporter_target(&self) -> Result<Option<Target>, OpenBackendsError> {
        Target::of(&self.config.telemetry.otlp).map_err(|error| self.exporter_error(error))
    }

    fn exporter_error(&self, error: ExporterError) -> OpenBackendsError {
        match error {
            ExporterError::Setting { origin: SettingOrigin::Key(path), message, help } => {
                config_error(self.issue(path, message, help))
            }
            ExporterError::Setting { origin: SettingOrigin::Variable(name), message, help } => {
                let origin = Origin::Environment(name.to_owned());
                config_error(Issue { key: String::new(), message, help, origin })
            }
            error @ ExporterError::System { .. } => OpenBackendsError::Traces(error),
        }
    }
}
