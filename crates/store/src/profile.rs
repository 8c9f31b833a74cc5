//! AWS profiles: what `~/.aws/config` and `~/.aws/credentials` say, which `object_store` does not read.
//!
//! Read are keys, region, endpoint and `credential_process`. Profiles that assume a role or sign on (SSO) are resolved by the AWS
//! command line, if it is installed: it knows every kind there is. The file format is that of
//! <https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html>, of which an INI library would refuse the nested
//! settings; those are passed over here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AwsCredential};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::variables::Variables;
use crate::{Error, Result};

/// Variables that say where credentials come from; those of a profile are passed over then, its region and endpoint are not.
const OTHER_SOURCES: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
];

/// Settings of profiles whose credentials the AWS command line has to resolve.
const RESOLVED_BY_AWS: [&str; 5] = ["role_arn", "source_profile", "sso_session", "sso_start_url", "login_session"];

/// Credentials are renewed that long before they expire.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);

/// A command whose credentials expire soon is asked again no sooner.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How long a command may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(120);

type Settings = BTreeMap<String, String>;

/// Lets `builder` use the profile that `variables` name, unless they hold credentials themselves.
///
/// # Errors
/// [`Error::Profile`] if it names a profile that is not there.
pub(crate) fn with_profile(builder: AmazonS3Builder, variables: &Variables) -> Result<AmazonS3Builder> {
    let variable = |name: &str| variables.get(name);
    let named = variable("AWS_PROFILE").or_else(|| variable("AWS_DEFAULT_PROFILE"));
    let name = named.unwrap_or("default");
    let file = |given: &str, usual: &str| {
        variable(given).map(PathBuf::from).or_else(|| Some(Path::new(variable("HOME")?).join(usual)))
    };
    let files = [file("AWS_CONFIG_FILE", ".aws/config"), file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")];
    let mut found: Option<Settings> = None;
    for file in files.iter().flatten() {
        // a file that is not there says nothing
        let Ok(text) = fs_err::read_to_string(file) else { continue };
        if let Some(settings) = section(&text, name) {
            found.get_or_insert_default().extend(settings);
        }
    }
    match (found, named) {
        (Some(settings), _) => {
            let builder = with_place(builder, &settings, variables);
            let elsewhere = OTHER_SOURCES.iter().any(|name| variable(name).is_some());
            Ok(if elsewhere { builder } else { with_credentials(builder, name, &settings) })
        }
        (None, None) => Ok(builder),
        (None, Some(name)) => {
            let files = files.iter().flatten().map(|file| file.display().to_string()).collect();
            Err(Error::Profile { name: name.to_owned(), files })
        }
    }
}

/// Sets region and endpoint, unless the environment does.
fn with_place(mut builder: AmazonS3Builder, settings: &Settings, variables: &Variables) -> AmazonS3Builder {
    let is_free = |names: &[&str]| names.iter().all(|name| variables.get(name).is_none());
    let setting = |name: &str| settings.get(name);
    if let Some(region) = setting("region").filter(|_| is_free(&["AWS_REGION", "AWS_DEFAULT_REGION"])) {
        builder = builder.with_region(region);
    }
    let endpoints = ["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"];
    if let Some(endpoint) = setting("endpoint_url").filter(|_| is_free(&endpoints)) {
        builder = builder.with_endpoint(endpoint);
    }
    builder
}

/// Sets where credentials come from. A role to assume counts before keys, which may be those that assume it.
fn with_credentials(builder: AmazonS3Builder, name: &str, settings: &Settings) -> AmazonS3Builder {
    let setting = |name: &str| settings.get(name);
    let is_resolved_by_aws = RESOLVED_BY_AWS.iter().any(|name| setting(name).is_some());
    if !is_resolved_by_aws
        && let Some((key, secret)) = setting("aws_access_key_id").zip(setting("aws_secret_access_key"))
    {
        let builder = builder.with_access_key_id(key).with_secret_access_key(secret);
        return setting("aws_session_token").into_iter().fold(builder, AmazonS3Builder::with_token);
    }
    let command = match setting("credential_process") {
        Some(command) if !is_resolved_by_aws => {
            let mut shell = Command::new("sh");
            shell.args(["-c", command]);
            shell
        }
        _ if is_resolved_by_aws => {
            let mut aws = Command::new("aws");
            aws.args(["configure", "export-credentials", "--format", "process", "--profile", name]);
            aws
        }
        _ => return builder,
    };
    builder.with_credentials(Arc::new(ProcessCredentials::new(name, command)))
}

/// The settings of profile `name` in a file; `None` if it has no such section. `config` files put `profile` before names.
fn section(text: &str, name: &str) -> Option<Settings> {
    let mut settings = None;
    let mut is_ours = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(title) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let title = title.trim();
            let profile = title.strip_prefix("profile").filter(|rest| rest.starts_with(char::is_whitespace));
            is_ours = profile.map_or(title, str::trim).trim_matches(['"', '\'']) == name;
            if is_ours {
                settings.get_or_insert_with(Settings::new);
            }
            continue;
        }
        // indented lines are settings of a setting, such as those of `s3 =`
        let is_nested = line.starts_with([' ', '\t']);
        if let (true, false, Some((key, value))) = (is_ours, is_nested, trimmed.split_once('='))
            && !value.trim().is_empty()
        {
            settings.get_or_insert_with(Settings::new).insert(key.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    settings
}

/// Credentials that a command prints, kept until shortly before they expire.
struct ProcessCredentials {
    profile: String,
    command: Arc<std::sync::Mutex<Command>>,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    credential: Arc<AwsCredential>,
    expires: Option<SystemTime>,
    fetched: Instant,
}

impl fmt::Debug for ProcessCredentials {
    /// Leaves out the command, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessCredentials").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// What the command prints
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<chrono::DateTime<chrono::FixedOffset>>,
}

impl ProcessCredentials {
    fn new(profile: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { profile: profile.to_owned(), command: Arc::new(std::sync::Mutex::new(command)), kept: Mutex::default() }
    }

    async fn fetch(&self) -> std::result::Result<Kept, String> {
        let command = Arc::clone(&self.command);
        let run = move || {
            let mut command = command.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let program = command.get_program().to_string_lossy().into_owned();
            command.output().map_err(|error| format!("{program} cannot be run: {error}"))
        };
        let output = tokio::time::timeout(COMMAND_PATIENCE, tokio::task::spawn_blocking(run)).await;
        let output = output.map_err(|_| format!("it took longer than {} s", COMMAND_PATIENCE.as_secs()))?;
        let output = output.map_err(|error| error.to_string())??;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        // what was printed holds secrets, so no error repeats it
        let printed: Printed = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("what it printed are no credentials (line {})", error.line()))?;
        let credential = AwsCredential {
            key_id: printed.access_key_id,
            secret_key: printed.secret_access_key,
            token: printed.session_token,
        };
        let expires = printed.expiration.map(SystemTime::from);
        Ok(Kept { credential: Arc::new(credential), expires, fetched: Instant::now() })
    }
}

impl Kept {
    #[expect(
        clippy::disallowed_methods,
        reason = "credentials expire by the clock; nothing that is computed depends on it"
    )]
    fn is_fresh(&self) -> bool {
        let lasts = |time: Duration| self.expires.is_none_or(|expires| SystemTime::now() + time < expires);
        // a command that keeps what it prints may print what expires soon; it is not asked for every request
        lasts(RENEWED_BEFORE) || (lasts(Duration::ZERO) && self.fetched.elapsed() < ASKED_AGAIN_AFTER)
    }
}

#[async_trait]
impl CredentialProvider for ProcessCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh()) {
            return Ok(Arc::clone(&kept.credential));
        }
        let fetched = self.fetch().await.map_err(|reason| object_store::Error::Unauthenticated {
            path: self.profile.clone(),
            source: format!("the command of AWS profile `{}` gave no credentials: {reason}", self.profile).into(),
        })?;
        let credential = Arc::clone(&fetched.credential);
        *kept = Some(fetched);
        Ok(credential)
    }
}

#[cfg(test)]
mod tests {
    use object_store::aws::AmazonS3ConfigKey;

    use super::*;

    const CONFIG: &str = "\
# ours
[default]
region = eu-west-1
[profile lake]
region=eu-central-1
s3 =
    max_concurrent_requests = 20
    region = nowhere
endpoint_url = http://lake
[profile lake2]
credential_process = cat keys
";

    #[test]
    fn sections_are_told_apart_and_nested_settings_passed_over() {
        let lake = section(CONFIG, "lake").expect("it is there");
        let pairs: Vec<(&str, &str)> = lake.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("endpoint_url", "http://lake"), ("region", "eu-central-1")]);
        assert_eq!(section(CONFIG, "default").map(|settings| settings.len()), Some(1));
        assert_eq!(section("[lake]\naws_access_key_id = a\n", "lake").map(|settings| settings.len()), Some(1));
        assert_eq!(section(CONFIG, "pond"), None);
    }

    #[test]
    fn a_profile_that_is_not_there_is_an_error_only_if_it_was_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().display().to_string();
        let variables = |profile: Option<&str>| {
            let profile = profile.map(|profile| ("AWS_PROFILE".to_owned(), profile.to_owned()));
            Variables::new(std::iter::once(("HOME".to_owned(), home.clone())).chain(profile))
        };
        assert!(with_profile(AmazonS3Builder::new(), &variables(None)).is_ok());
        let missing =
            with_profile(AmazonS3Builder::new(), &variables(Some("pond"))).map(drop).map_err(|e| e.to_string());
        assert!(
            missing.as_ref().is_err_and(|text| text.contains("`pond`") && text.contains(".aws/config")),
            "{missing:?}"
        );
    }

    #[test]
    fn credentials_of_a_command_are_kept_until_they_expire() {
        let folder = tempfile::tempdir().expect("a folder");
        let count = folder.path().join("count");
        let tries = |expiration: &str| {
            fs_err::write(&count, "").expect("written");
            let json = format!(r#"{{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b"{expiration}}}"#);
            let mut command = Command::new("sh");
            command.args(["-c", &format!("echo x >> {}; echo '{json}'", count.display())]);
            let provider = Arc::new(ProcessCredentials::new("p", command));
            for _ in 0..3 {
                let provider = Arc::clone(&provider);
                let got = crate::runtime::wait(async move { provider.get_credential().await });
                assert_eq!(got.expect("it ran").expect("credentials").key_id, "a");
            }
            fs_err::read_to_string(&count).expect("read").lines().count()
        };
        assert_eq!(tries(""), 1);
        assert_eq!(tries(r#","Expiration":"2999-01-01T00:00:00+02:00""#), 1);
        assert_eq!(tries(r#","Expiration":"2020-01-01T00:00:00Z""#), 3);
    }

    #[test]
    fn keys_of_the_environment_leave_region_and_endpoint_to_the_profile() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config");
        fs_err::write(&config, CONFIG).expect("written");
        let pairs = [
            ("AWS_CONFIG_FILE", config.display().to_string()),
            ("AWS_PROFILE", "lake".to_owned()),
            ("AWS_ACCESS_KEY_ID", "of the environment".to_owned()),
            // as if it were not set
            ("AWS_REGION", String::new()),
        ];
        let variables = Variables::new(pairs.map(|(name, value)| (name.to_owned(), value)));
        let builder = with_profile(AmazonS3Builder::new(), &variables).expect("a profile");
        let value = |key| builder.get_config_value(&key);
        assert_eq!(value(AmazonS3ConfigKey::Region).as_deref(), Some("eu-central-1"));
        assert_eq!(value(AmazonS3ConfigKey::Endpoint).as_deref(), Some("http://lake"));
        assert_eq!(value(AmazonS3ConfigKey::AccessKeyId), None);
    }

    #[test]
    fn what_a_command_printed_is_not_repeated() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo '{\"SecretAccessKey\": \"canary\"}'"]);
        let provider = ProcessCredentials::new("p", command);
        let failed = crate::runtime::wait(async move { provider.get_credential().await }).expect("it ran");
        let text = failed.expect_err("no credentials").to_string();
        assert!(text.contains("profile `p`") && !text.contains("canary"), "{text}");
    }
}
