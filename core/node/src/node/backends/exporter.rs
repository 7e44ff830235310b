//! Starts the export of traces as a config says.

use super::error::{OpenBackendsError, config_error};
use crate::config::{Issue, Issues, Loaded, Origin};
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
            ExporterError::Setting { origin, message, help } => {
                config_error(self.setting_issue(origin, message, help))
            }
            ExporterError::Settings(errors) => {
                let mut issues = Vec::new();
                for error in errors {
                    match self.exporter_error(error) {
                        OpenBackendsError::Config(Issues(of_one)) => issues.extend(of_one),
                        other => return other,
                    }
                }
                OpenBackendsError::Config(Issues(issues))
            }
            error @ ExporterError::System { .. } => OpenBackendsError::Traces(error),
        }
    }

    fn setting_issue(&self, origin: SettingOrigin, message: String, help: Option<String>) -> Issue {
        match origin {
            SettingOrigin::Key(path) => self.issue(path, message, help),
            SettingOrigin::Variable(name) => {
                Issue { key: String::new(), message, help, origin: Origin::Environment(name.to_owned()) }
            }
        }
    }
}
