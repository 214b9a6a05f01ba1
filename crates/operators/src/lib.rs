//! What can be written in YAML: one file each plus one line of registration.
