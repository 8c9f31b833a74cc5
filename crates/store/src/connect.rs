//! Clients of stores, with the credentials and endpoints that the variables handed in hold.
//!
//! `object_store` reads the process's environment where it is asked to (`from_env`); here each of its builders is given the same
//! settings from the variables. What it and `reqwest` look up by themselves, without being asked, stays theirs: `HTTPS_PROXY`, and
//! where an instance of Google or Azure has its metadata server.

use std::sync::Arc;

use http::HeaderValue;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::HttpConnector;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::http_files::{Dataset, HttpFiles, Source};
use crate::location::Bucket;
use crate::pins::Pins;
use crate::profile::with_profile;
use crate::scheme::Scheme;
use crate::traffic::Counters;
use crate::variables::Variables;
use crate::wire::CountingConnector;
use crate::{Error, Result, hub_access};

/// Where `gcloud auth application-default login` leaves credentials, below the home folder.
const GOOGLE_CREDENTIALS: &str = ".config/gcloud/application_default_credentials.json";

/// Makes a client; failed requests are repeated by `object_store` with exponential back-off.
///
/// An endpoint that is written with `http://` is used without TLS; nothing more need be allowed.
pub(crate) fn connect(
    bucket: &Bucket,
    variables: &Variables,
    counters: &Arc<Counters>,
    pins: &Arc<Pins>,
) -> Result<Arc<dyn ObjectStore>> {
    let name = bucket.name.as_str();
    let failed = |error| Error::store(bucket.to_string(), error);
    let (retry, connector) = (RetryConfig::default(), CountingConnector::new(Arc::clone(counters)));
    Ok(match bucket.scheme {
        Scheme::S3 => {
            let builder = amazon(variables)?.with_bucket_name(name).with_retry(retry);
            Arc::new(builder.with_http_connector(connector).build().map_err(failed)?)
        }
        Scheme::Google => {
            let builder = google(variables).with_bucket_name(name).with_retry(retry);
            Arc::new(builder.with_http_connector(connector).build().map_err(failed)?)
        }
        Scheme::Azure => {
            let builder = azure(variables).with_retry(retry);
            let builder = match bucket.account {
                // the builder takes account and kind of endpoint from there
                Some(_) => builder.with_url(bucket.to_string()),
                None => builder.with_container_name(name),
            };
            Arc::new(builder.with_http_connector(connector).build().map_err(failed)?)
        }
        Scheme::Memory => Arc::new(InMemory::new()),
        // places on disk have no client
        Scheme::Http | Scheme::Https | Scheme::File => {
            let options = ClientOptions::new().with_allow_http(bucket.scheme == Scheme::Http);
            let client = connector.connect(&options).map_err(failed)?;
            Arc::new(HttpFiles::new(client, Source::Web { server: bucket.to_string() }))
        }
        Scheme::Hub => {
            let unusable = |reason: String| Error::InvalidLocation {
                location: hub_access::endpoint(variables).to_owned(),
                reason,
            };
            let endpoint = Url::parse(hub_access::endpoint(variables)).map_err(|error| unusable(error.to_string()))?;
            let token = hub_access::token(variables).map(|token| HeaderValue::try_from(format!("Bearer {token}")));
            let mut token = token.transpose().map_err(|_| unusable("HF_TOKEN holds what no header can".to_owned()))?;
            token.iter_mut().for_each(|token| token.set_sensitive(true));
            let options = ClientOptions::new().with_allow_http(endpoint.scheme() == "http");
            let client = connector.connect(&options).map_err(failed)?;
            let dataset = Dataset { endpoint, token, name: name.to_owned(), pins: Arc::clone(pins) };
            Arc::new(HttpFiles::new(client, Source::Dataset(dataset)))
        }
    })
}

fn amazon(variables: &Variables) -> Result<AmazonS3Builder> {
    let settings = variables.settings::<AmazonS3ConfigKey>("AWS_");
    let builder = settings.fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value));
    let builder = with_profile(builder, variables)?;
    let endpoints = [AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint];
    let is_plain = endpoints.iter().any(|key| is_without_tls(builder.get_config_value(key)));
    Ok(if is_plain { builder.with_allow_http(true) } else { builder })
}

fn google(variables: &Variables) -> GoogleCloudStorageBuilder {
    let accounts = variables.get("SERVICE_ACCOUNT").into_iter();
    let builder = accounts.fold(GoogleCloudStorageBuilder::new(), GoogleCloudStorageBuilder::with_service_account_path);
    let settings = variables.settings::<GoogleConfigKey>("GOOGLE_");
    let builder = settings.fold(builder, |builder, (key, value)| builder.with_config(key, value));
    // else the client looks for it below the home folder of the process's environment
    let of_user = variables.get("HOME").map(|home| format!("{home}/{GOOGLE_CREDENTIALS}"));
    match of_user.filter(|path| std::path::Path::new(path).exists()) {
        Some(path) if builder.get_config_value(&GoogleConfigKey::ApplicationCredentials).is_none() => {
            builder.with_application_credentials(path)
        }
        _ => builder,
    }
}

fn azure(variables: &Variables) -> MicrosoftAzureBuilder {
    let settings = variables.settings::<AzureConfigKey>("AZURE_");
    let builder = settings.fold(MicrosoftAzureBuilder::new(), |builder, (key, value)| builder.with_config(key, value));
    let identity = variables.get("IDENTITY_ENDPOINT").into_iter();
    let builder = identity.fold(builder, MicrosoftAzureBuilder::with_msi_endpoint);
    let is_plain = is_without_tls(builder.get_config_value(&AzureConfigKey::Endpoint));
    if is_plain { builder.with_allow_http(true) } else { builder }
}

fn is_without_tls(endpoint: Option<String>) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        Variables::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn settings_come_from_the_variables_handed_in() -> Result<()> {
        let given = variables(&[
            ("AWS_REGION", "eu-west-3"),
            ("AWS_ENDPOINT_URL", "http://lake"),
            ("AWS_UNKNOWN", "x"),
            ("OTHER", "x"),
        ]);
        let s3 = amazon(&given)?;
        assert_eq!(s3.get_config_value(&AmazonS3ConfigKey::Region).as_deref(), Some("eu-west-3"));
        assert_eq!(s3.get_config_value(&AmazonS3ConfigKey::Endpoint).as_deref(), Some("http://lake"));
        let given = variables(&[("AZURE_STORAGE_ACCOUNT_NAME", "a"), ("IDENTITY_ENDPOINT", "http://identity")]);
        let az = azure(&given);
        assert_eq!(az.get_config_value(&AzureConfigKey::AccountName).as_deref(), Some("a"));
        assert_eq!(az.get_config_value(&AzureConfigKey::MsiEndpoint).as_deref(), Some("http://identity"));
        let gs = google(&variables(&[("SERVICE_ACCOUNT", "/a"), ("GOOGLE_BASE_URL", "http://g")]));
        assert_eq!(gs.get_config_value(&GoogleConfigKey::ServiceAccount).as_deref(), Some("/a"));
        assert_eq!(gs.get_config_value(&GoogleConfigKey::BaseUrl).as_deref(), Some("http://g"));
        Ok(())
    }

    #[test]
    fn google_credentials_are_those_of_the_home_handed_in() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join(GOOGLE_CREDENTIALS);
        let found = |pairs: &[(&str, &str)]| {
            google(&variables(pairs)).get_config_value(&GoogleConfigKey::ApplicationCredentials)
        };
        let home = home.path().display().to_string();
        assert_eq!(found(&[("HOME", &home)]), None);
        fs_err::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs_err::write(&path, "{}").expect("written");
        assert_eq!(found(&[("HOME", &home)]), Some(path.display().to_string()));
        let named = found(&[("HOME", &home), ("GOOGLE_APPLICATION_CREDENTIALS", "/mine.json")]);
        assert_eq!(named.as_deref(), Some("/mine.json"));
    }
}
