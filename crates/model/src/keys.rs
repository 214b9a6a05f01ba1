//! Typed access to the keys of a JSON object, with errors that name the key as a reader would find it.

use serde_json::Value;

use crate::Error;

/// An object of a config: the whole of it, or one inside, whose keys are told with its own before them.
pub(crate) struct Keys<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Keys<'a> {
    /// The keys of the outermost object.
    pub(crate) fn new(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    /// The keys of the object at `key`, if there is one.
    pub(crate) fn inner(&self, key: &str) -> Option<Keys<'a>> {
        let value = self.value.get(key).filter(|value| value.is_object())?;
        Some(Keys { value, path: format!("{}{key}.", self.path) })
    }

    /// Whether the key has a value other than null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The value of a key; null is as good as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key is there, be it null.
    pub(crate) fn names(&self, key: &str) -> bool {
        self.value.get(key).is_some()
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.typed(key, "text", Value::as_str)
    }

    pub(crate) fn size(&self, key: &str) -> Result<Option<usize>, Error> {
        self.typed(key, "a whole number", |value| usize::try_from(value.as_u64()?).ok())
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a number", Value::as_f64)
    }

    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool, Error> {
        Ok(self.typed(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    pub(crate) fn list(&self, key: &str) -> Result<Option<&'a Vec<Value>>, Error> {
        self.typed(key, "a list", Value::as_array)
    }

    /// One token id or a list of them. Negative ones say that there is none.
    pub(crate) fn tokens(&self, key: &str) -> Result<Vec<u32>, Error> {
        let ids = |value: &Value| {
            let ids = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            ids.iter().map(Value::as_i64).collect::<Option<Vec<i64>>>()
        };
        let ids = self.typed(key, "a token id or a list of them", ids)?.unwrap_or_default();
        Ok(ids.into_iter().filter_map(|id| u32::try_from(id).ok()).collect())
    }

    /// The value of a key that has no default.
    pub(crate) fn required<T>(
        &self,
        key: &str,
        read: impl Fn(&Self, &str) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        read(self, key)?.ok_or_else(|| Error::ConfigMissing { key: format!("{}{key}", self.path) })
    }

    /// The key is absent, null, or has the one supported value.
    pub(crate) fn only(&self, key: &str, supported: &Value) -> Result<(), Error> {
        match self.get(key) {
            Some(value) if value != supported => Err(self.bad(key, value, &supported.to_string())),
            _ => Ok(()),
        }
    }

    /// The error of a value that will not do.
    pub(crate) fn bad(&self, key: &str, found: &Value, expected: &str) -> Error {
        let key = format!("{}{key}", self.path);
        Error::ConfigValue { key, found: found.to_string(), expected: expected.into() }
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        self.get(key).map(|value| read(value).ok_or_else(|| self.bad(key, value, expected))).transpose()
    }
}
