//! Why programs cannot be run at all.

use std::io;

/// Why programs cannot be run at all. What a program does wrong is an [`crate::Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel, or what it permits here, lacks a part of the jail.
    #[error("cannot build the jail: {attempt}: {cause}")]
    Unsupported {
        /// The part: `namespaces`, `mounts`, `landlock`, ...
        attempt: String,
        /// What the kernel said.
        cause: String,
    },
    /// There is no usable interpreter.
    #[error("cannot use the interpreter `{command}`: {cause}")]
    Interpreter {
        /// What was started.
        command: String,
        /// What went wrong.
        cause: String,
    },
    /// The host cannot start or speak to a jail.
    #[error("cannot {attempt}")]
    Host {
        /// What was attempted.
        attempt: &'static str,
        /// What the host's system said.
        #[source]
        source: io::Error,
    },
    /// The stages of the jail broke down, which no program can bring about.
    #[error("the jail broke down: {0}")]
    Broken(String),
}

impl Error {
    /// A stable word for the cause: `sandbox_unsupported`, `sandbox_interpreter`, `sandbox_host` or `sandbox_broken`.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Unsupported { .. } => "sandbox_unsupported",
            Error::Interpreter { .. } => "sandbox_interpreter",
            Error::Host { .. } => "sandbox_host",
            Error::Broken(_) => "sandbox_broken",
        }
    }

    /// What can be done about it, one sentence.
    pub fn help(&self) -> &'static str {
        match self {
            Error::Unsupported { .. } => {
                "allow unprivileged user namespaces on a kernel of 6.2 or later with landlock and seccomp, or run without \
                 a jail by `sandbox: none`, which lets programs do all that you can do"
            }
            Error::Interpreter { .. } => "install CPython 3.8 or later as `python3`",
            Error::Host { .. } => "look at the limits of this machine on processes, memory and open files",
            Error::Broken(_) => "raise the limits if they are too low for the interpreter itself",
        }
    }

    pub(crate) fn host(attempt: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Error::Host { attempt, source }
    }
}
