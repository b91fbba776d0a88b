//! Why the catalog refuses.

/// Why the catalog refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting's name or value is wrong.
    #[error("`{name}`: {detail}")]
    InvalidSetting {
        /// The setting.
        name: String,
        /// What is wrong and what is allowed.
        detail: String,
    },
    /// A stored record cannot be read.
    #[error("the catalog's `{key}` is damaged: {detail}")]
    Damaged {
        /// Its key.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
}
