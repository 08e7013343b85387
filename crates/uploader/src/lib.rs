#![doc = include_str!("../README.md")]

pub mod config;
pub mod engine;
pub mod error;
pub mod http;
pub mod meter;
pub mod presigned;
pub mod s3;
pub mod store_client;
pub mod stores;

mod attempt;
mod file_range;
mod multipart;
mod single;

pub use attempt::Jitter;
pub use config::UploadConfig;
pub use engine::UploadEngine;
pub use error::HttpFailure;
pub use http::{HttpClient, HttpConfig, Proxies};
pub use meter::SentMeter;
pub use presigned::{ContentMd5, PresignedObjectStore};
pub use s3::{Compared, Download, S3Client, S3Config, S3Encryption, S3ObjectStore};
pub use store_client::{PatientStoreClient, StoreApiClient, StoreStatus};
pub use stores::{ObjectStores, Stores};
