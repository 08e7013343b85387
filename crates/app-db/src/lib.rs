//! The application databases behind the ports, and Metaferry's own rows in them.
