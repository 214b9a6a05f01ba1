//! What a diagnostic's code means: the source of `flow explain CODE`.

/// One kind of mistake, explained once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `E....` for errors, `W....` for warnings.
    pub id: &'static str,
    /// One line: what is wrong.
    pub title: &'static str,
    /// Why it is a mistake, and what to do.
    pub text: &'static str,
    /// A piece of YAML (or a command line, beginning with `flow `) that has the mistake.
    pub wrong: &'static str,
    /// The same without the mistake.
    pub right: &'static str,
}

/// Declares one constant for each code, and `CODES`, the list of all.
#[macro_export]
macro_rules! codes {
    ($($name:ident = $id:literal, $title:literal, $text:literal, wrong $wrong:literal, right $right:literal;)*) => {
        $(
            #[doc = $title]
            pub const $name: $crate::Code =
                $crate::Code { id: $id, title: $title, text: $text, wrong: $wrong, right: $right };
        )*
        /// Every code of this crate, in order.
        pub const CODES: &[$crate::Code] = &[$($name),*];
    };
}
