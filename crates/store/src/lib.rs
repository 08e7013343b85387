//! The other shore: the store API, objects in a folder, what was received proved by opening it.
