//! Carries a file to an object store: one PUT or parts, presigned or through S3.
