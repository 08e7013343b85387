//! Where dumps go and come from: the store, a bucket, single objects, and the engine that uploads.

use std::sync::Arc;

use metaferry_domain::PortError;
use metaferry_domain::part_plan::PartRules;
use metaferry_domain::ports::Clock;
use metaferry_domain::retry::RetryPolicy;
use metaferry_orchestrator::OtherShore;
use metaferry_uploader::{
    PatientStoreClient, Proxies, S3Client, S3Config, S3Encryption, S3ObjectStore, StoreApiClient,
    UploadConfig,
};

use crate::config::Config;
use crate::exit::CommandError;
use crate::system::random_fraction;

/// What `--to` names. `version`: of the Metabase that is moved, which the store is told.
pub(super) fn other_shore(
    to: &str,
    store_api: &StoreApiClient,
    version: Option<&str>,
    clock: &Arc<dyn Clock>,
) -> Result<OtherShore, CommandError> {
    match to.strip_prefix("s3://") {
        Some(rest) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_end_matches('/');
            let prefix = if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}/")
            };
            Ok(OtherShore::Bucket {
                bucket: bucket.to_owned(),
                prefix,
            })
        }
        None if to == "store" => Ok(OtherShore::Store {
            client: Arc::new(PatientStoreClient {
                inner: store_api.clone(),
                policy: RetryPolicy::default(),
                clock: Arc::clone(clock),
                jitter: Arc::new(random_fraction),
            }),
            version: version.unwrap_or_default().to_owned(),
        }),
        None => Err(CommandError::usage(format!(
            "--to: {to:?} is neither `store` nor s3://BUCKET/PREFIX"
        ))),
    }
}

/// No proxy reaches a store on this machine.
pub(super) fn proxies_towards(store: &str) -> Proxies {
    let loopback = url::Url::parse(store).is_ok_and(|store| match store.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    });
    if loopback {
        Proxies::None
    } else {
        Proxies::OfEnvironment
    }
}

pub(super) fn s3(config: &Config) -> Result<Option<S3Client>, PortError> {
    let s3 = &config.s3;
    let (Some(access_key_id), Some(secret_access_key)) = (&s3.access_key_id, &s3.secret_access_key) else {
        return Ok(None);
    };
    S3Client::new(S3Config {
        access_key_id: access_key_id.clone(),
        secret_access_key: secret_access_key.clone(),
        session_token: s3.session_token.clone(),
        region: s3.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
        endpoint: s3.endpoint.clone(),
        encryption: S3Encryption::OfBucket,
    })
    .map(Some)
}

/// An object of S3, by its URL.
pub(crate) fn object(config: &Config, url: &str) -> Result<S3ObjectStore, CommandError> {
    let place = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    let Some((bucket, key)) = place.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty()) else {
        return Err(CommandError::usage(format!(
            "--from: {url:?} is not s3://BUCKET/KEY"
        )));
    };
    let Some(s3) = s3(config)? else {
        return Err(CommandError::usage(
            "--from s3://… needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ));
    };
    Ok(s3.object(bucket, key, Arc::default()))
}

pub(super) fn upload_config(config: &Config) -> Result<UploadConfig, CommandError> {
    let mut upload = UploadConfig::default();
    if let Some(bytes) = config.part_size_bytes {
        upload.rules = PartRules::default()
            .with_part_size(bytes)
            .map_err(|error| CommandError::usage(format!("METAFERRY_PART_SIZE_BYTES: {error}")))?;
    }
    if let Some(concurrency) = config.upload_concurrency {
        upload.concurrency = concurrency;
    }
    Ok(upload)
}
